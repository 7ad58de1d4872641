package translate

import (
	"encoding/json"
	"strings"
)

// maxDepth bounds the nesting of JSON that is accepted, so that hostile text
// cannot exhaust the stack. It is the bound of encoding/json.
const maxDepth = 10000

// span is a part of a JSON text, by offsets.
type span struct{ start, end int }

func (s span) of(text string) string { return text[s.start:s.end] }

// member is one member of a JSON object: its decoded name, and where its name
// and its value stand in the text.
type member struct {
	name      string
	nameText  span
	valueText span
}

// blank tells whether a column of JSON holds nothing: no text, or null.
func blank(text string) bool {
	if text == "" {
		return true
	}
	trimmed := strings.Trim(text, " \t\r\n")
	return trimmed == "" || trimmed == "null"
}

// parseObject returns the members of the JSON object in text, in their order,
// duplicates included. It returns false when text is not exactly one JSON object.
func parseObject(text string) ([]member, bool) {
	s := scanner{text: text}
	s.skipSpace()
	var members []member
	if !s.object(0, &members) {
		return nil, false
	}
	if s.skipSpace(); s.at != len(text) {
		return nil, false
	}
	return members, true
}

// parseArray returns where the elements of the JSON array in text stand. It
// returns false when text is not exactly one JSON array.
func parseArray(text string) ([]span, bool) {
	s := scanner{text: text}
	s.skipSpace()
	var elements []span
	if !s.array(0, &elements) {
		return nil, false
	}
	if s.skipSpace(); s.at != len(text) {
		return nil, false
	}
	return elements, true
}

// decodeString returns the value of a JSON string; false when raw is another
// JSON value.
func decodeString(raw string) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	if value, ok := unescape(inner); ok {
		return value, true
	}
	var value string
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		return "", false
	}
	return value, true
}

// unescape decodes the inside of a JSON string that escapes nothing but quotes,
// backslashes and slashes, as JSON within JSON does.
func unescape(inner string) (string, bool) {
	var b strings.Builder
	b.Grow(len(inner))
	for {
		at := strings.IndexByte(inner, '\\')
		if at < 0 {
			b.WriteString(inner)
			return b.String(), true
		}
		if at+1 >= len(inner) || strings.IndexByte(`"\/`, inner[at+1]) < 0 {
			return "", false
		}
		b.WriteString(inner[:at])
		b.WriteByte(inner[at+1])
		inner = inner[at+2:]
	}
}

// scanner walks over JSON text. Each method that reads something returns false
// when the text at that place is not what it reads.
type scanner struct {
	text string
	at   int
}

func (s *scanner) skipSpace() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// accept steps over one character if it is next, spaces before it included.
func (s *scanner) accept(c byte) bool {
	s.skipSpace()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) value(depth int) bool {
	if s.at >= len(s.text) || depth > maxDepth {
		return false
	}
	switch s.text[s.at] {
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth, nil)
	case '"':
		return s.string()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// object reads an object, and appends its members when asked for them.
func (s *scanner) object(depth int, members *[]member) bool {
	if !s.accept('{') {
		return false
	}
	if s.accept('}') {
		return true
	}
	for {
		var m member
		s.skipSpace()
		m.nameText.start = s.at
		if !s.string() {
			return false
		}
		m.nameText.end = s.at
		if !s.accept(':') {
			return false
		}
		s.skipSpace()
		m.valueText.start = s.at
		if !s.value(depth + 1) {
			return false
		}
		m.valueText.end = s.at
		if members != nil {
			name, ok := decodeString(m.nameText.of(s.text))
			if !ok {
				return false
			}
			m.name = name
			if *members == nil {
				*members = make([]member, 0, 8)
			}
			*members = append(*members, m)
		}
		if s.accept('}') {
			return true
		}
		if !s.accept(',') {
			return false
		}
	}
}

// array reads an array, and appends where its elements stand when asked for them.
func (s *scanner) array(depth int, elements *[]span) bool {
	if !s.accept('[') {
		return false
	}
	if s.accept(']') {
		return true
	}
	for {
		s.skipSpace()
		element := span{start: s.at}
		if !s.value(depth + 1) {
			return false
		}
		element.end = s.at
		if elements != nil {
			*elements = append(*elements, element)
		}
		if s.accept(']') {
			return true
		}
		if !s.accept(',') {
			return false
		}
	}
}

func (s *scanner) string() bool {
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return false
	}
	for at := s.at + 1; at < len(s.text); at++ {
		switch c := s.text[at]; {
		case c == '"':
			s.at = at + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			at++
			if at >= len(s.text) {
				return false
			}
			switch s.text[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if at+4 >= len(s.text) || !isHex(s.text[at+1:at+5]) {
					return false
				}
				at += 4
			default:
				return false
			}
		}
	}
	return false
}

func isHex(digits string) bool {
	for i := range len(digits) {
		switch c := digits[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}

func (s *scanner) word(word string) bool {
	if !strings.HasPrefix(s.text[s.at:], word) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) number() bool {
	if s.at < len(s.text) && s.text[s.at] == '-' {
		s.at++
	}
	switch {
	case s.at < len(s.text) && s.text[s.at] == '0':
		s.at++
	case !s.digits():
		return false
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		return s.digits()
	}
	return true
}

// digits reads one digit or more.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
