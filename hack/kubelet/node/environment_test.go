package node

import "testing"

func TestExpand(t *testing.T) {
	variables := map[string]string{"POD_NAMESPACE": "here", "EMPTY": ""}
	for text, want := range map[string]string{
		"$(POD_NAMESPACE)":      "here",
		"--x=$(POD_NAMESPACE)/": "--x=here/",
		"$(EMPTY)":              "",
		"$(UNKNOWN)":            "$(UNKNOWN)",
		"$POD_NAMESPACE":        "$POD_NAMESPACE",
	} {
		if got := expand(text, variables); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}

func TestImageName(t *testing.T) {
	for image, want := range map[string]string{
		"ambientd": "ambientd", "ambientd:v1": "ambientd", "registry.example:5000/folder/ambientd:v1": "ambientd", "registry.example:5000/ambientd": "ambientd",
	} {
		if got := imageName(image); got != want {
			t.Errorf("%s is %s, want %s", image, got, want)
		}
	}
}
