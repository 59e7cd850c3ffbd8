package test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// instruction is one of a Dockerfile's, with its arguments.
type instruction struct {
	name string
	args []string
}

// The image is not built here: there may be no Docker. What it lacked would be known where it is used only.
func TestImageHasWhatNestorNeeds(t *testing.T) {
	stages := dockerStages(t)
	image := stages[len(stages)-1]

	bundle := []string{"--from=build", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/"}
	if !slices.ContainsFunc(argsOf(image, "COPY"), func(args []string) bool { return slices.Equal(args, bundle) }) {
		t.Errorf("no COPY %s: rediss:// and sslmode=verify-full would trust no certificate", strings.Join(bundle, " "))
	}
	want := map[string][][]string{
		"USER":       {{"65532"}},
		"ENV":        {{"NESTOR_DATA_DIR=/var/lib/nestor"}},
		"ENTRYPOINT": {{`["nestor"]`}},
	}
	got := map[string][][]string{}
	for name := range want {
		got[name] = argsOf(image, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the image (-want +got):\n%s", diff)
	}
	installed := strings.Join(slices.Concat(argsOf(image, "RUN")...), " ")
	for _, volume := range writtenVolumes(t) {
		if !regexp.MustCompile(`install -d -o nestor [^&]*` + volume + `\b`).MatchString(installed) {
			t.Errorf("docker-compose.yaml mounts a volume at %s, where the image has no folder of the user nestor", volume)
		}
	}
}

// A nestor that was linked with the C library of one image would need it in the other.
func TestImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	build := dockerStages(t)[0]
	mod := readFile(t, filepath.Join("..", "go.mod"))
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(mod)[1]
	if from := argsOf(build, "FROM")[0][0]; !strings.HasPrefix(from, "golang:"+release+"-") {
		t.Errorf("built in %s, and go.mod wants Go %s", from, release)
	}
	if run := argsOf(build, "RUN"); !slices.Contains(run[len(run)-1], "CGO_ENABLED=0") {
		t.Errorf("built by %q, without CGO_ENABLED=0", run[len(run)-1])
	}
}

// dockerStages are the instructions of the Dockerfile, FROM by FROM.
func dockerStages(t *testing.T) (stages [][]instruction) {
	t.Helper()
	text := strings.ReplaceAll(readFile(t, filepath.Join("..", "Dockerfile")), "\\\n", " ")
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if words[0] == "FROM" {
			stages = append(stages, nil)
		}
		last := len(stages) - 1
		stages[last] = append(stages[last], instruction{words[0], words[1:]})
	}
	return stages
}

// argsOf are the arguments of every instruction of that name.
func argsOf(stage []instruction, name string) (all [][]string) {
	for _, i := range stage {
		if i.name == name {
			all = append(all, i.args)
		}
	}
	return all
}

// writtenVolumes are where docker-compose.yaml mounts what nestor's image writes to.
func writtenVolumes(t *testing.T) (paths []string) {
	t.Helper()
	for _, service := range readCompose(t).Services {
		for _, volume := range service.Volumes {
			parts := strings.Split(volume, ":")
			if service.Image == "nestor" && len(parts) == 2 && !strings.HasPrefix(parts[0], ".") {
				paths = append(paths, parts[1])
			}
		}
	}
	if len(paths) == 0 {
		t.Fatal("docker-compose.yaml has no volume that nestor writes to")
	}
	return paths
}
