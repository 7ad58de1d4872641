package translate

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
)

// list is the correspondence between a column that holds a JSON array and a
// slice of T.
type list[T any] struct {
	// column names the upstream's column in conditions.
	column string
	// read decodes one element. It returns the members of the wrong type, and
	// false when the element cannot be shown at all.
	read func(raw string) (value T, wrong []string, ok bool)
	// key tells which elements stand for the same thing in different states.
	key func(T) string
	// identity, if set, makes elements of one identity a single one.
	identity func(T) string
	// edit changes the text of an element, where possible within its shape.
	edit func(raw string, from, to T, samples []string) string
	// create writes a new element in the style of the samples, which are JSON
	// objects of the same column.
	create func(to T, samples []string) string
}

// element is an array element that can be shown. Same is the index of an earlier
// element that it repeats, or -1.
type element[T any] struct {
	index, same int
	value       T
	raw         string
}

// parse decodes the column and reports what cannot be shown.
func (l list[T]) parse(text string, p *problems) (spans []span, elements []element[T]) {
	if blank(text) {
		return nil, nil
	}
	spans, ok := parseArray(text)
	if !ok {
		p.malformed(l.column, "a JSON array")
		return nil, nil
	}
	var seen map[string]int
	if l.identity != nil {
		seen = make(map[string]int, len(spans))
	}
	elements = make([]element[T], 0, len(spans))
	for i, s := range spans {
		raw := s.of(text)
		value, wrong, ok := l.read(raw)
		if !ok {
			p.value(fmt.Sprintf("%s[%d]", l.column, i))
			continue
		}
		for _, name := range wrong {
			p.value(fmt.Sprintf("%s[%d].%s", l.column, i, name))
		}
		e := element[T]{index: i, same: -1, value: value, raw: raw}
		if l.identity != nil {
			identity := l.identity(value)
			if first, found := seen[identity]; found {
				e.same = first
			} else {
				seen[identity] = i
			}
		}
		elements = append(elements, e)
	}
	return spans, elements
}

// values returns what the API shows of the column.
func (l list[T]) values(text string, p *problems) []T {
	_, elements := l.parse(text, p)
	if len(elements) == 0 {
		return nil
	}
	values := make([]T, 0, len(elements))
	for _, e := range elements {
		if e.same < 0 {
			values = append(values, e.value)
		}
	}
	return values
}

// rewrite returns the column's text after its shown elements became the desired
// ones. Elements that did not change keep their bytes, changed ones their unknown
// members. Elements that the API does not show stay behind the one that they
// followed.
func (l list[T]) rewrite(text string, desired []T) string {
	spans, elements := l.parse(text, nil)
	matched := l.match(elements, desired)
	samples := objectsIn(text, spans)

	// unchanged holds the array indexes of elements that stay as they are.
	unchanged := map[int]bool{}
	own := make([]piece, len(desired))
	for i, value := range desired {
		e := matched[i]
		switch {
		case e == nil:
			own[i] = piece{index: -1, text: l.create(value, samples)}
		case equality.Semantic.DeepEqual(e.value, value):
			unchanged[e.index] = true
			own[i] = piece{index: e.index, text: e.raw}
		default:
			own[i] = piece{index: e.index, text: l.edit(e.raw, e.value, value, samples)}
		}
	}

	followers := l.followers(spans, elements, unchanged)
	var pieces []piece
	follow := func(index int) {
		for _, i := range followers[index] {
			pieces = append(pieces, piece{index: i, text: spans[i].of(text)})
		}
		delete(followers, index)
	}
	follow(-1)
	for _, p := range own {
		pieces = append(pieces, p)
		if p.index >= 0 {
			follow(p.index)
		}
	}
	for _, e := range elements {
		follow(e.index)
	}
	return joinElements(text, spans, pieces)
}

// match finds the element that each desired value comes from: an equal one if
// there is one, else one with the same key.
func (l list[T]) match(elements []element[T], desired []T) []*element[T] {
	byKey := map[string][]*element[T]{}
	for i := range elements {
		if elements[i].same < 0 {
			key := l.key(elements[i].value)
			byKey[key] = append(byKey[key], &elements[i])
		}
	}
	take := func(value T, exactly bool) *element[T] {
		key := l.key(value)
		for i, e := range byKey[key] {
			if !exactly || equality.Semantic.DeepEqual(e.value, value) {
				byKey[key] = append(byKey[key][:i:i], byKey[key][i+1:]...)
				return e
			}
		}
		return nil
	}
	matched := make([]*element[T], len(desired))
	for i, value := range desired {
		matched[i] = take(value, true)
	}
	for i, value := range desired {
		if matched[i] == nil {
			matched[i] = take(value, false)
		}
	}
	return matched
}

// followers returns the array indexes of elements that stay although they are
// not shown, by the index of the shown element before them, or -1.
func (l list[T]) followers(spans []span, elements []element[T], unchanged map[int]bool) map[int][]int {
	followers := map[int][]int{}
	last, next := -1, 0
	for i := range spans {
		if next < len(elements) && elements[next].index == i {
			e := elements[next]
			next++
			if e.same < 0 {
				last = i
				continue
			}
			if !unchanged[e.same] {
				continue
			}
		}
		followers[last] = append(followers[last], i)
	}
	return followers
}

// objectsIn returns the elements that are JSON objects.
func objectsIn(text string, spans []span) []string {
	var objects []string
	for _, s := range spans {
		if raw := s.of(text); strings.HasPrefix(raw, "{") {
			objects = append(objects, raw)
		}
	}
	return objects
}
