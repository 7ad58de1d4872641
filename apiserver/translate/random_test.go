package translate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// randomRows makes rows as odd as an upstream that checks nothing may hold them.
type randomRows struct{ *rand.Rand }

func newRandomRows(seed uint64) randomRows { return randomRows{rand.New(rand.NewPCG(seed, 815))} }

func pick[T any](r randomRows, choices ...T) T { return choices[r.IntN(len(choices))] }

// optional returns a column that is absent, now and then.
func optional[T any](r randomRows, value func() T) *T {
	if r.IntN(3) == 0 {
		return nil
	}
	v := value()
	return &v
}

func (r randomRows) word() string {
	return pick(r, "", "a", "b", "main", "Some text", "ü €", "line\nbreak", `quo"ted\`, "<&>", "\u2028", "x/y", "https://git.example/r.git",
		strings.Repeat("long", 30))
}

func (r randomRows) space() string { return pick(r, "", "", "", " ", "\n  ", "\t") }

// text is a JSON string in one of its spellings.
func (r randomRows) text(value string) string {
	if r.IntN(4) == 0 {
		var b strings.Builder
		for _, c := range value {
			if c < 0x10000 {
				fmt.Fprintf(&b, `\u%04x`, c)
			} else {
				b.WriteRune(c)
			}
		}
		return `"` + b.String() + `"`
	}
	return quote(value)
}

func (r randomRows) value() string {
	return pick(r, "null", "true", "7", "-1.5e3", "[]", `{"x":[1, 2]}`, r.text(r.word()), r.text(r.word()), r.text(r.word()))
}

func (r randomRows) malformed() string {
	return pick(r, "not json", "{", "[", `{"a":1}}`, `"text"`, "7", "{a:1}", "[1,]", "null", "", " ", "{}", "[]", "nul", "[[", `{"a":"\x"}`)
}

func (r randomRows) object(names []string, value func(name string) string) string {
	if r.IntN(8) == 0 {
		return r.malformed()
	}
	var members []string
	for range r.IntN(6) {
		name := pick(r, names...)
		text := r.text(name)
		members = append(members, r.space()+text+r.space()+":"+r.space()+value(name)+r.space())
	}
	return r.space() + "{" + r.space() + strings.Join(members, ",") + "}" + r.space()
}

func (r randomRows) array(element func() string) string {
	if r.IntN(8) == 0 {
		return r.malformed()
	}
	var elements []string
	for range r.IntN(5) {
		e := element()
		if r.IntN(8) == 0 {
			e = r.value()
		}
		elements = append(elements, r.space()+e+r.space())
	}
	return r.space() + "[" + strings.Join(elements, ",") + "]" + r.space()
}

func (r randomRows) strings(names ...string) string {
	return r.object(names, func(string) string {
		if r.IntN(5) == 0 {
			return r.value()
		}
		return r.text(pick(r, "", "a", "b", "valid-value", "not valid!", r.word()))
	})
}

func (r randomRows) mixed(names ...string) string {
	return r.object(names, func(name string) string {
		if strings.Contains(strings.ToLower(name), "time") || strings.HasSuffix(name, "At") {
			return pick(r, `"2026-03-04T05:06:07Z"`, `"2026-03-04T05:06:07.123456789+02:00"`, `"yesterday"`, `"`+lateText+`"`, `"0001-01-01T00:00:00Z"`, r.value())
		}
		if strings.HasSuffix(name, "Generation") {
			return pick(r, "1", "12", "-3", "1.5", "1e3", "99999999999999999999", r.value())
		}
		return r.value()
	})
}

func (r randomRows) annotations() string {
	names := []string{"note", "team", "bad key", "", "a/b", "a/b/c", "example.com/x"}
	text := r.strings(names...)
	if r.IntN(2) == 0 {
		return text
	}
	reserved := Reserved{Name: pick(r, "", "mine", "Not A Name"), CreatedBy: pick(r, "", "ann"), Generation: r.Int64N(9) - 1, SpecHash: pick(r, "", ".x", "mtk.y")}
	if r.IntN(2) == 0 {
		reserved.set(types.UID(pick(r, "", thisCluster, otherCluster)), metadata())
	}
	if r.IntN(3) == 0 {
		reserved.set(otherCluster, metadata())
	}
	if encoded, err := WithReserved(text, reserved); err == nil {
		return encoded
	}
	return text
}

func (r randomRows) repository() string {
	return pick(r, func() string { return r.text(r.word()) }, func() string {
		return r.mixed("url", "url", "branch", "name", "auto_push", "autoPush", "depth")
	}, func() string {
		return `{"url":` + r.text(r.word()) + r.space() + `,"autoPush":` + pick(r, "true", "false", "null") + `}`
	})()
}

func (r randomRows) condition() string {
	return pick(r, func() string {
		return r.mixed("type", "status", "reason", "message", "lastTransitionTime", "observedGeneration", "extra")
	}, func() string {
		return `{"type":"` + pick(r, "A", "B", "Ready", "Translated", detailsType) + `",` + r.space() + `"status":"` + pick(r, "True", "False", "", "odd") +
			`","lastTransitionTime":"2026-03-04T05:06:0` + pick(r, "1", "2") + `Z","stoppedReason":"user","observedGeneration":` + pick(r, "1", "2") + `,"x":1}`
	})()
}

func (r randomRows) time() *timestamppb.Timestamp {
	return pick(r, nil, timestamppb.New(time.Unix(r.Int64N(1<<32), r.Int64N(1e9))), &timestamppb.Timestamp{}, &timestamppb.Timestamp{Seconds: 1 << 60},
		&timestamppb.Timestamp{Seconds: 1, Nanos: -1})
}

func (r randomRows) session() *ambientv1.Session {
	id := fmt.Sprintf("2aB3cD4eF5gH6iJ7kL8mN%06d", r.IntN(1000000))
	return &ambientv1.Session{
		Metadata:             pick(r, nil, &ambientv1.ObjectReference{Id: id, CreatedAt: r.time()}, &ambientv1.ObjectReference{Id: id, CreatedAt: timestamppb.New(created)}),
		Name:                 r.word(),
		RepoUrl:              optional(r, r.word),
		Prompt:               optional(r, r.word),
		CreatedByUserId:      optional(r, r.word),
		AssignedUserId:       optional(r, r.word),
		WorkflowId:           optional(r, func() string { return pick(r, r.word(), r.mixed("git_url", "gitUrl", "branch", "path", "new")) }),
		Repos:                optional(r, func() string { return r.array(r.repository) }),
		Timeout:              optional(r, r.Int32),
		LlmModel:             optional(r, r.word),
		LlmTemperature:       optional(r, func() float64 { return pick(r, 0, 0.7, 1e-9, 2, -1, math.NaN(), math.Inf(1)) }),
		LlmMaxTokens:         optional(r, r.Int32),
		ParentSessionId:      optional(r, r.word),
		BotAccountName:       optional(r, r.word),
		ResourceOverrides:    optional(r, func() string { return r.mixed("cpu", "memory", "storage_class", "priorityClass", "gpu") }),
		EnvironmentVariables: optional(r, func() string { return r.strings("A", "B", "not a name", "") }),
		Labels:               optional(r, func() string { return r.strings("team", "bad key", "a/b", "ambient.io/session-id", "") }),
		Annotations:          optional(r, r.annotations),
		ProjectId:            optional(r, func() string { return pick(r, "team-a", "", "Not A Label") }),
		Phase:                optional(r, func() string { return pick(r, "", "Pending", "Running", "Failed", "Stopped", "odd one") }),
		StartTime:            r.time(),
		CompletionTime:       r.time(),
		SdkSessionId:         optional(r, r.word),
		SdkRestartCount:      optional(r, r.Int32),
		Conditions:           optional(r, func() string { return r.array(r.condition) }),
		ReconciledRepos: optional(r, func() string {
			return r.array(func() string {
				return r.mixed("url", "url", "branch", "branches", "status", "clonedAt", "currentActiveBranch", "new")
			})
		}),
		ReconciledWorkflow: optional(r, func() string { return r.mixed("gitUrl", "git_url", "branch", "path", "status", "appliedAt", "new") }),
		KubeCrName:         optional(r, r.word),
		KubeCrUid:          optional(r, r.word),
		KubeNamespace:      optional(r, r.word),
		AgentId:            optional(r, r.word),
	}
}

func (r randomRows) project() *ambientv1.Project {
	row := &ambientv1.Project{
		Metadata:    &ambientv1.ObjectReference{Id: "team-a", CreatedAt: timestamppb.New(created)},
		Name:        r.word(),
		DisplayName: optional(r, r.word),
		Description: optional(r, r.word),
		Labels:      optional(r, func() string { return r.strings("team", "bad key", "a/b") }),
		Annotations: optional(r, r.annotations),
		Status:      optional(r, r.word),
	}
	if r.IntN(3) > 0 {
		return row
	}
	reserved := Reserved{Labels: map[string]string{"a": "b"}, Generation: 4, SpecHash: ".x", Deleted: r.IntN(3) == 0}
	reserved.set(types.UID(pick(r, thisCluster, otherCluster)), metadata())
	if encoded, err := encodeReserved(reserved); err == nil && !MalformedAnnotations(row.GetAnnotations()) {
		row.Annotations = text(editObject(row.GetAnnotations(), []change{{names: []string{SettingsAnnotation}, value: quote(encoded)}}))
	}
	return row
}

func (r randomRows) settings() *ambientv1.ProjectSettings {
	return &ambientv1.ProjectSettings{
		Metadata:  &ambientv1.ObjectReference{Id: sessionID, CreatedAt: timestamppb.New(created)},
		ProjectId: "team-a",
		GroupAccess: optional(r, func() string {
			return r.array(func() string {
				return pick(r, r.text(pick(r, "g", "h", "")), r.mixed("group", "groupName", "group_name", "role", "new"),
					`{"`+pick(r, "group", "groupName", "group_name")+`":"`+pick(r, "g", "h", "i")+`","role":"`+pick(r, "admin", "view", "odd")+`","new":1}`)
			})
		}),
		Repositories: optional(r, func() string { return r.array(r.repository) }),
	}
}
