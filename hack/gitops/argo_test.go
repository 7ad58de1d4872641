package gitops

import (
	"os"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// document is the page whose configurations are tested here.
const document = "../../docs/gitops.md"

// configuration returns the YAML block of the document that holds an object of the
// kind.
func configuration(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		body, _, closed := strings.Cut(block, "```")
		if !closed {
			t.Fatalf("a block of %s has no end", document)
		}
		for _, object := range manifests(t, body) {
			if object.GetKind() == kind {
				return object
			}
		}
	}
	t.Fatalf("%s has no %s", document, kind)
	return nil
}

// healthScript returns the script that the document gives Argo CD for our kinds.
func healthScript(t *testing.T) string {
	t.Helper()
	data, _, err := unstructured.NestedString(configuration(t, "ConfigMap").Object, "data", "resource.customizations")
	if err != nil {
		t.Fatal(err)
	}
	var customizations map[string]map[string]string
	if err := yaml.UnmarshalStrict([]byte(data), &customizations); err != nil {
		t.Fatalf("reading resource.customizations: %v", err)
	}
	script := customizations["ambient.io/*"]["health.lua"]
	if script == "" {
		t.Fatalf("resource.customizations has no health.lua for ambient.io/*: %v", customizations)
	}
	return script
}

// argoHealth runs the script as Argo CD does: in a state with few libraries, with the
// object as the global obj. It returns the status and message of the answer.
func argoHealth(t *testing.T, object *unstructured.Unstructured) (health, message string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	state.SetContext(t.Context())
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			t.Fatalf("opening Lua's library %q: %v", library.name, err)
		}
	}
	state.SetGlobal("obj", luaValue(t, state, object.Object))
	if err := state.DoString(healthScript(t)); err != nil {
		t.Fatalf("running the script of %s: %v", document, err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script of %s returned %s, want a table", document, state.Get(-1))
	}
	return lua.LVAsString(answer.RawGetString("status")), lua.LVAsString(answer.RawGetString("message"))
}

// luaValue turns a value of an object into Lua's.
func luaValue(t *testing.T, state *lua.LState, value any) lua.LValue {
	t.Helper()
	switch value := value.(type) {
	case nil:
		return lua.LNil
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, element := range value {
			table.Append(luaValue(t, state, element))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, member := range value {
			table.RawSetString(key, luaValue(t, state, member))
		}
		return table
	default:
		t.Fatalf("an object holds a %T", value)
		return nil
	}
}
