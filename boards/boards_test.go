package boards_test

import (
	"strings"
	"testing"

	"lifeboat/boards"
)

func all(t *testing.T) []boards.Board {
	t.Helper()
	list, err := boards.All()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// All checks each file: areas in order, without overlap with each other or the
// table, every number with its source.
func TestAllBoardsAreSound(t *testing.T) {
	t.Parallel()
	list := all(t)
	if len(list) < 30 {
		t.Errorf("got %d boards, want them all", len(list))
	}
	names, titles := map[string]bool{}, map[string]bool{}
	models, compatible := map[string]string{}, map[string]string{}
	for _, b := range list {
		if names[b.Name] || titles[b.Title] {
			t.Errorf("board %s: name or title %q is taken", b.Name, b.Title)
		}
		names[b.Name], titles[b.Title] = true, true
		for _, m := range b.Models {
			if o := models[m]; o != "" {
				t.Errorf("model %q means %s and %s", m, o, b.Name)
			}
			models[m] = b.Name
		}
		for _, c := range b.Compatible {
			if o := compatible[c]; o != "" {
				t.Errorf("compatible %q means %s and %s", c, o, b.Name)
			}
			compatible[c] = b.Name
		}
		if got, ok := boards.Find(b.Name); !ok || got.Title != b.Title {
			t.Errorf("Find(%q): got %q %v", b.Name, got.Title, ok)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const rest = `"title":"X","models":["X"],"boot":"u-boot","bits":[64],"consoles":[],"sources":["s"]`
	for _, c := range []struct{ name, text, want string }{
		{"misspelt field", `{"name":"x",` + rest + `,"aeras":[]}`, "aeras"},
		{"two boards", `{"name":"x",` + rest + `}{}`, "behind"},
		{"no name", `{` + rest + `}`, "name"},
		{"area without source", `{"name":"x",` + rest + `,"areas":[{"off":512,"len":1,"what":"w"}]}`, "source"},
		{"areas out of order", `{"name":"x",` + rest + `,"areas":[{"off":1024,"len":1,"what":"a","source":"s"},{"off":512,"len":1,"what":"b","source":"s"}]}`, "order"},
		{"areas overlap", `{"name":"x",` + rest + `,"areas":[{"off":512,"len":600,"what":"a","source":"s"},{"off":1024,"len":1,"what":"b","source":"s"}]}`, "overlaps"},
		{"area in the table", `{"name":"x",` + rest + `,"areas":[{"off":0,"len":442,"what":"a","source":"s"}]}`, "partition table"},
		{"overflow", `{"name":"x",` + rest + `,"areas":[{"off":9223372036854775807,"len":9,"what":"a","source":"s"}]}`, "negative"},
	} {
		_, err := boards.Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
	if _, err := boards.Parse([]byte(`{"name":"x",` + rest + `}`)); err != nil {
		t.Errorf("a sound board: %v", err)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model      string
		compatible []string
		want       string
	}{
		{"Raspberry Pi 4 Model B Rev 1.4", []string{"raspberrypi,4-model-b", "brcm,bcm2711"}, "rpi-4-b"},
		{"Raspberry Pi 3 Model A Plus Rev 1.0", []string{"raspberrypi,3-model-b-plus", "brcm,bcm2837"}, "rpi-3-a-plus"},
		{"Raspberry Pi 3 Model B", []string{"raspberrypi,3-model-b", "brcm,bcm2837"}, "rpi-3-b"},
		{"Raspberry Pi 500 Rev 1.0", nil, "rpi-500"},
		{"Raspberry Pi 5 Model B Rev 1.0", nil, "rpi-5-b"},
		{"Raspberry Pi Compute Module 4S Rev 1.0", nil, "rpi-cm4s"},
		{"Raspberry Pi Compute Module 4 IO Board", []string{"raspberrypi,4-compute-module", "brcm,bcm2711"}, "rpi-cm4"},
		{"Raspberry Pi Model B Plus Rev 1.2", nil, "rpi-1-b-plus"},
		{"Raspberry Pi 2 Model B Rev 1.1", nil, "rpi-2-b"},
		{"Raspberry Pi 2 Model B Rev 1.2", nil, "rpi-2-b-rev2"},
		{"Raspberry Pi 9 Model Z", []string{"raspberrypi,9-model-z"}, "raspberry-pi"},
		{"linux,dummy-virt", []string{"linux,dummy-virt"}, "virt"},
		{"Pine64 Rock64", []string{"pine64,rock64", "rockchip,rk3328"}, "rock64"},
		{"Some RK3328 box", []string{"some,box", "rockchip,rk3328"}, "rockchip"},
		{"Cubietech Cubieboard", []string{"cubietech,a10-cubieboard", "allwinner,sun4i-a10"}, "cubieboard"},
		{"A toaster", []string{"acme,toaster"}, ""},
		{"", nil, ""},
	} {
		b, ok := boards.Identify(c.model, c.compatible)
		if b.Name != c.want || ok != (c.want != "") {
			t.Errorf("Identify(%q, %q): got %q %v, want %q", c.model, c.compatible, b.Name, ok, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"name":"x","title":"X","models":["X"],"boot":"u-boot","bits":[64],"consoles":[],"sources":["s"],"areas":[{"off":512,"len":1,"what":"w","source":"s"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := boards.Parse(text)
		if err == nil && b.Name == "" {
			t.Error("a board without a name was taken")
		}
	})
}
