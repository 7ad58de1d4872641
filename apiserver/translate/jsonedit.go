package translate

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	emptyObject = "{}"
	emptyArray  = "[]"
)

// change sets or removes one member of a JSON object.
type change struct {
	// names are the accepted spellings of the member's name; the first one is
	// used when the object has none of them.
	names []string
	// value is JSON text; empty removes the member.
	value string
}

func (c change) concerns(name string) bool { return slices.Contains(c.names, name) }

// editObject applies changes to the JSON object in text. Every byte of the other
// members stays, and so does their order. When text is not a JSON object, the
// result holds only the changes.
func editObject(text string, changes []change) string {
	members, ok := parseObject(text)
	if !ok {
		text, members = emptyObject, nil
	}
	if len(changes) == 0 {
		return text
	}
	decided := make([]string, len(members))
	var added []change
	for _, c := range changes {
		if !decide(c, members, decided) && c.value != "" {
			added = append(added, c)
		}
	}
	return joinMembers(text, members, decided, added)
}

// dropped marks a member that is removed; no JSON value is this text.
const dropped = "-"

// decide notes what becomes of the members that a change concerns. The last one
// counts, as it does for readers; earlier ones of the same meaning go. It returns
// false when no member stands for the change.
func decide(c change, members []member, decided []string) bool {
	found := false
	for i := len(members) - 1; i >= 0; i-- {
		switch {
		case !c.concerns(members[i].name):
		case found || c.value == "":
			decided[i] = dropped
			found = true
		default:
			decided[i] = c.value
			found = true
		}
	}
	return found
}

func joinMembers(text string, members []member, decided []string, added []change) string {
	head, tail := frame(text, '{', '}')
	separator, colon := ",", ":"
	if len(members) > 0 {
		first, last := members[0], members[len(members)-1]
		head, tail = text[:first.nameText.start], text[last.valueText.end:]
		colon = text[first.nameText.end:first.valueText.start]
	}
	if len(members) > 1 {
		separator = text[members[0].valueText.end:members[1].nameText.start]
	}
	var b strings.Builder
	b.Grow(len(text) + 64)
	b.WriteString(head)
	count := 0
	for i, m := range members {
		if decided[i] == dropped {
			continue
		}
		if count > 0 {
			b.WriteString(text[members[i-1].valueText.end:m.nameText.start])
		}
		b.WriteString(text[m.nameText.start:m.valueText.start])
		if decided[i] != "" {
			b.WriteString(decided[i])
		} else {
			b.WriteString(m.valueText.of(text))
		}
		count++
	}
	for _, c := range added {
		if count > 0 {
			b.WriteString(separator)
		}
		b.WriteString(quote(c.names[0]))
		b.WriteString(colon)
		b.WriteString(c.value)
		count++
	}
	if count == 0 {
		return emptyObject
	}
	b.WriteString(tail)
	return b.String()
}

// frame splits the text of an empty JSON object or array around its inside.
func frame(text string, opening, closing byte) (head, tail string) {
	return text[:strings.IndexByte(text, opening)+1], text[strings.LastIndexByte(text, closing):]
}

// piece is one element of a rewritten JSON array. Index is its place in the old
// array, or -1.
type piece struct {
	index int
	text  string
}

// joinElements writes the pieces in the place of the elements of the JSON array
// in text. Elements that stay neighbours keep what stood between them.
func joinElements(text string, elements []span, pieces []piece) string {
	if len(pieces) == 0 {
		return emptyArray
	}
	head, tail, separator := "[", "]", ","
	if len(elements) > 0 {
		head, tail = text[:elements[0].start], text[elements[len(elements)-1].end:]
	}
	if len(elements) > 1 {
		separator = text[elements[0].end:elements[1].start]
	}
	var b strings.Builder
	b.Grow(len(text) + 64)
	b.WriteString(head)
	for i, p := range pieces {
		switch {
		case i == 0:
		case p.index > 0 && pieces[i-1].index == p.index-1:
			b.WriteString(text[elements[p.index-1].end:elements[p.index].start])
		default:
			b.WriteString(separator)
		}
		b.WriteString(p.text)
	}
	b.WriteString(tail)
	return b.String()
}

// mapChanges returns what turns one map into the other, in the order of names.
// Names in skipped are left alone.
func mapChanges(current, desired map[string]string, skipped ...string) []change {
	var names []string
	for name, value := range desired {
		if had, found := current[name]; !found || had != value {
			names = append(names, name)
		}
	}
	for name := range current {
		if _, found := desired[name]; !found {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	changes := make([]change, 0, len(names))
	for _, name := range names {
		if slices.Contains(skipped, name) {
			continue
		}
		c := change{names: []string{name}}
		if value, found := desired[name]; found {
			c.value = quote(value)
		}
		changes = append(changes, c)
	}
	return changes
}

// quote writes a JSON string that escapes no more than JSON asks for.
func quote(value string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.Grow(len(value) + 2)
	b.WriteByte('"')
	start := 0
	for at := 0; at < len(value); {
		c := value[at]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(value[at:])
			if r == utf8.RuneError && size == 1 {
				b.WriteString(value[start:at])
				b.WriteString("\ufffd")
				start = at + 1
			}
			at += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			at++
			continue
		}
		b.WriteString(value[start:at])
		switch c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&0xf])
		}
		at++
		start = at
	}
	b.WriteString(value[start:])
	b.WriteByte('"')
	return b.String()
}
