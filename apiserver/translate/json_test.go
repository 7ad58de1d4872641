package translate

import (
	"encoding/json"
	"strings"
	"testing"
)

var jsonTexts = []string{
	"", " ", "null", "true", "{", "}", "[", "]", "{}", "[]", " { } ", " [ ] ", `{"a":1}`, `{"a":1,}`, `{"a" 1}`, `{"a":}`, `{a:1}`, `{"a":1}x`, `{"a":1} `,
	`[1]`, `[1,]`, `[,1]`, `[1 2]`, `[01]`, `[-]`, `[-0]`, `[1.]`, `[.5]`, `[1.5e+10]`, `[1e]`, `[+1]`, `[0x1]`, `[NaN]`,
	`[tru]`, `[true,false,null]`, `[nul]`, `["\u00e4\n\"\\\/"]`, `["\x"]`, `["\u12g4"]`, `["\u12"]`, "[\"\n\"]", "[\"\t\"]", "[\"\x7f\"]", `["`, `["\`, `["\u`,
	`{"a":{"b":[1,{"c":"d"}]},"e":[]}`, `{"a":1,"a":2}`, `["\ud800"]`, `["a\"b\\c\/d", "\"", "\\", "\u0041\"", "\n", "\"\n"]`, "[\"\xff\"]", "\ufeff{}", `{"":""}`,
}

func checkScan(t *testing.T, text string) {
	t.Helper()
	trimmed := strings.TrimLeft(text, " \t\r\n")
	valid := json.Valid([]byte(text))
	members, isObject := parseObject(text)
	if want := valid && strings.HasPrefix(trimmed, "{"); isObject != want {
		t.Errorf("%q: object %v, want %v", text, isObject, want)
	}
	elements, isArray := parseArray(text)
	if want := valid && strings.HasPrefix(trimmed, "["); isArray != want {
		t.Errorf("%q: array %v, want %v", text, isArray, want)
	}
	if isArray {
		var want []json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil || len(want) != len(elements) {
			t.Fatalf("%q: %d elements, want %d (%v)", text, len(elements), len(want), err)
		}
		for i := range want {
			if got := elements[i].of(text); got != string(want[i]) {
				t.Errorf("%q: element %d is %q, want %q", text, i, got, want[i])
			}
			checkString(t, string(want[i]))
		}
	}
	if isObject {
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		last := map[string]string{}
		for _, m := range members {
			last[strings.ToValidUTF8(m.name, "\ufffd")] = m.valueText.of(text)
		}
		for name, value := range want {
			if strings.Contains(name, "\ufffd") {
				continue
			}
			if last[name] != string(value) {
				t.Errorf("%q: member %q is %q, want %q", text, name, last[name], value)
			}
		}
		if got := editObject(text, nil); got != text {
			t.Errorf("%q: no change made %q", text, got)
		}
	}
}

// checkString compares how a value is read as a string.
func checkString(t *testing.T, raw string) {
	t.Helper()
	var want string
	isString := strings.HasPrefix(raw, `"`)
	if isString {
		if err := json.Unmarshal([]byte(raw), &want); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
	}
	got, ok := decodeString(raw)
	if ok != isString || strings.ToValidUTF8(got, "\ufffd") != strings.ToValidUTF8(want, "\ufffd") && strings.ToValidUTF8(raw, "") == raw {
		t.Errorf("%q is read as %q, %v; want %q", raw, got, ok, want)
	}
}

func TestJSONIsScannedAsEncodingJSONDoes(t *testing.T) {
	for _, text := range jsonTexts {
		checkScan(t, text)
	}
}

func TestDeepJSONIsRefusedNotFollowed(t *testing.T) {
	deep := strings.Repeat("[", 5_000_000)
	if _, ok := parseArray(deep); ok {
		t.Error("accepted")
	}
	if _, ok := parseObject(`{"a":` + deep); ok {
		t.Error("accepted")
	}
	legal := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	if _, ok := parseArray(legal); !ok {
		t.Error("refused")
	}
}

func TestQuoteIsJSON(t *testing.T) {
	for _, value := range []string{"", "plain", "\"\\/<>&'", "\x00\x01\x1f\x7f\b\f\n\r\t", "ü€😀", "\u2028", "a\xffb\xc3"} {
		quoted := quote(value)
		var got string
		if err := json.Unmarshal([]byte(quoted), &got); err != nil {
			t.Errorf("%q: %s: %v", value, quoted, err)
		}
		if want := strings.ToValidUTF8(value, "\ufffd"); got != want {
			t.Errorf("%q: read back %q", value, got)
		}
	}
	if got := quote("<ü>"); got != `"<ü>"` {
		t.Errorf("more is escaped than JSON asks for: %s", got)
	}
}

func TestEditObject(t *testing.T) {
	set := func(value string, names ...string) change { return change{names: names, value: value} }
	for _, test := range []struct {
		name, text string
		changes    []change
		want       string
	}{
		{"a value is replaced", `{ "a" : 1 , "b" : 2 }`, []change{set("3", "a")}, `{ "a" : 3 , "b" : 2 }`},
		{"the first member goes", `{ "a" : 1 , "b" : 2 }`, []change{set("", "a")}, `{ "b" : 2 }`},
		{"the middle member goes", `{"a":1, "b":2,  "c":3}`, []change{set("", "b")}, `{"a":1,  "c":3}`},
		{"the last member goes", `{ "a" : 1 , "b" : 2 }`, []change{set("", "b")}, `{ "a" : 1 }`},
		{"all members go", `{ "a" : 1 , "b" : 2 }`, []change{set("", "b"), set("", "a")}, `{}`},
		{"a member that is not there goes", `{ "a" : 1 }`, []change{set("", "b")}, `{ "a" : 1 }`},
		{"one is added in the style of the others", `{ "a" : 1,  "b" : 2 }`, []change{set("3", "c")}, `{ "a" : 1,  "b" : 2,  "c" : 3 }`},
		{"one is added to nothing", ` { } `, []change{set("1", "a")}, ` {"a":1} `},
		{"one takes the place of another", `{"a":1}`, []change{set("", "a"), set("2", "b")}, `{"b":2}`},
		{"the last of several counts", `{"a":1,"a":2,"c":3}`, []change{set("4", "a")}, `{"a":4,"c":3}`},
		{"the spelling stays", `{"gitUrl":1}`, []change{set("2", "git_url", "gitUrl")}, `{"gitUrl":2}`},
		{"spellings become one", `{"gitUrl":1,"x":0,"git_url":2}`, []change{set("3", "git_url", "gitUrl")}, `{"x":0,"git_url":3}`},
		{"all spellings go", `{"gitUrl":1,"x":0,"git_url":2}`, []change{set("", "git_url", "gitUrl")}, `{"x":0}`},
		{"an escaped name is the same name", `{"\u0061":1}`, []change{set("2", "a")}, `{"\u0061":2}`},
		{"malformed text is replaced", `not json`, []change{set("2", "a")}, `{"a":2}`},
	} {
		if got := editObject(test.text, test.changes); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
