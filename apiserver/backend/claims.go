package backend

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// claimant is a row that asks for a name.
type claimant struct {
	id        string
	createdAt time.Time
}

func compareClaimants(a, b claimant) int {
	if order := a.createdAt.Compare(b.createdAt); order != 0 {
		return order
	}
	return strings.Compare(a.id, b.id)
}

// claims decides who may bear a name that several rows ask for: the oldest. All of
// them say so in a condition.
type claims struct {
	byName map[types.NamespacedName][]claimant
	byID   map[string]types.NamespacedName
}

// claim records what the row asks for, and returns the ids of the other rows
// whose place may have changed by that.
func (c *claims) claim(name types.NamespacedName, who claimant) (changed []string) {
	if c.byID == nil {
		c.byName = map[types.NamespacedName][]claimant{}
		c.byID = map[string]types.NamespacedName{}
	}
	if held, found := c.byID[who.id]; found {
		if held == name {
			return nil
		}
		changed = c.release(who.id)
	}
	c.byID[who.id] = name
	before := c.byName[name]
	at, _ := slices.BinarySearchFunc(before, who, compareClaimants)
	c.byName[name] = slices.Insert(before, at, who)
	switch {
	case len(before) == 0:
	case at == 0:
		changed = append(changed, c.byName[name][1].id)
	default:
		changed = append(changed, c.byName[name][0].id)
	}
	return changed
}

// release forgets the row's claim, and returns the ids of the rows whose place
// may have changed by that.
func (c *claims) release(id string) (changed []string) {
	name, found := c.byID[id]
	if !found {
		return nil
	}
	delete(c.byID, id)
	rest := c.byName[name]
	at := slices.IndexFunc(rest, func(who claimant) bool { return who.id == id })
	rest = slices.Delete(rest, at, at+1)
	if len(rest) == 0 {
		delete(c.byName, name)
		return nil
	}
	c.byName[name] = rest
	return append(changed, rest[0].id)
}

// contested tells whether several rows ask for the name.
func (c *claims) contested(name types.NamespacedName) bool { return len(c.byName[name]) > 1 }

// holds tells whether the row may bear the name.
func (c *claims) holds(name types.NamespacedName, id string) bool {
	who := c.byName[name]
	return len(who) > 0 && who[0].id == id
}
