// Which objects does a chart make of its values?
//
// Helm is in no package registry, so the tests render with its own parts: Go's text/template and Sprig, and the
// functions that Helm adds, after its documentation. One chart without subcharts, hooks and post-rendering; `lookup`
// finds what --object files hold, nothing otherwise, as in `helm template`. The values' schema is the caller's matter.
//
//	helm-render [-n NAMESPACE] [-f FILE]... [--set KEY=VALUE]... [--kube-version V] [--object FILE]... [--notes] RELEASE CHART
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/semver/v3"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

type request struct {
	release, chart, namespace, kube string
	files, settings, objects        []string
	notes                           bool
}

func main() {
	out, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "helm-render:", err)
		os.Exit(1)
	}
	fmt.Print(out)
}

func run(arguments []string) (string, error) {
	asked, err := parse(arguments)
	if err != nil {
		return "", err
	}
	about, err := readObject(filepath.Join(asked.chart, "Chart.yaml"))
	if err != nil {
		return "", err
	}
	if err := fits(about, asked.kube); err != nil {
		return "", err
	}
	values, err := readValues(asked)
	if err != nil {
		return "", err
	}
	known, err := readObjects(asked.objects)
	if err != nil {
		return "", err
	}
	return render(asked, about, values, known)
}

func parse(arguments []string) (request, error) {
	asked := request{namespace: "default", kube: "1.36.0"}
	var places []string
	for i := 0; i < len(arguments); i++ {
		word := arguments[i]
		if !strings.HasPrefix(word, "-") {
			places = append(places, word)
			continue
		}
		if word == "--notes" {
			asked.notes = true
			continue
		}
		if i++; i == len(arguments) {
			return asked, fmt.Errorf("`%s` takes a value", word)
		}
		switch value := arguments[i]; word {
		case "-n":
			asked.namespace = value
		case "-f":
			asked.files = append(asked.files, value)
		case "--set":
			asked.settings = append(asked.settings, value)
		case "--kube-version":
			asked.kube = strings.TrimPrefix(value, "v")
		case "--object":
			asked.objects = append(asked.objects, value)
		default:
			return asked, fmt.Errorf("`%s` is no option", word)
		}
	}
	if len(places) != 2 {
		return asked, errors.New("name the release and the chart")
	}
	asked.release, asked.chart = places[0], places[1]
	return asked, nil
}

func readObject(path string) (object, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	read := object{}
	if err := yaml.Unmarshal(text, &read); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return read, nil
}

func readObjects(paths []string) ([]object, error) {
	var all []object
	for _, path := range paths {
		one, err := readObject(path)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func fits(about object, kube string) error {
	wanted, ok := about["kubeVersion"].(string)
	if !ok {
		return nil
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return err
	}
	version, err := semver.NewVersion(kube)
	if err != nil {
		return err
	}
	if !constraint.Check(version) {
		return fmt.Errorf("the chart is for Kubernetes %s, not %s", wanted, kube)
	}
	return nil
}

func readValues(asked request) (object, error) {
	values, err := readObject(filepath.Join(asked.chart, "values.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range asked.files {
		over, err := readObject(path)
		if err != nil {
			return nil, err
		}
		lay(values, over)
	}
	for _, setting := range asked.settings {
		key, text, found := strings.Cut(setting, "=")
		if !found {
			return nil, fmt.Errorf("--set %s: it is KEY=VALUE", setting)
		}
		var value interface{}
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return nil, err
		}
		over := object{}
		at, parts := over, strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			inner := object{}
			at[part] = inner
			at = inner
		}
		at[parts[len(parts)-1]] = value
		lay(values, over)
	}
	return values, nil
}

// lay puts over on top of values; null takes a key away.
func lay(values, over object) {
	for key, value := range over {
		below, both := values[key].(object)
		above, isObject := value.(object)
		switch {
		case value == nil:
			delete(values, key)
		case both && isObject:
			lay(below, above)
		default:
			values[key] = value
		}
	}
}

func render(asked request, about, values object, known []object) (string, error) {
	name, _ := about["name"].(string)
	chart := object{}
	for key, value := range about {
		chart[strings.ToUpper(key[:1])+key[1:]] = value
	}
	numbers := strings.SplitN(asked.kube, ".", 3)
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all, known))
	paths, err := filepath.Glob(filepath.Join(asked.chart, "templates", "*"))
	if err != nil {
		return "", err
	}
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if _, err := all.New(name + "/templates/" + filepath.Base(path)).Parse(string(text)); err != nil {
			return "", err
		}
	}
	var out strings.Builder
	for _, path := range paths {
		base := filepath.Base(path)
		if strings.HasPrefix(base, "_") || asked.notes != (base == "NOTES.txt") {
			continue
		}
		full := name + "/templates/" + base
		var text bytes.Buffer
		err := all.ExecuteTemplate(&text, full, object{
			"Values": values, "Chart": chart,
			"Release":  object{"Name": asked.release, "Namespace": asked.namespace, "Service": "Helm", "IsInstall": true, "IsUpgrade": false, "Revision": 1},
			"Template": object{"Name": full, "BasePath": name + "/templates"},
			"Capabilities": object{"KubeVersion": object{
				"Version": "v" + asked.kube, "GitVersion": "v" + asked.kube, "Major": numbers[0], "Minor": numbers[1]}},
		})
		if err != nil {
			return "", err
		}
		body := strings.TrimSpace(strings.ReplaceAll(text.String(), "<no value>", ""))
		if asked.notes {
			return body + "\n", nil
		}
		if body != "" {
			fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", full, strings.TrimPrefix(body, "---\n"))
		}
	}
	return out.String(), nil
}

func functions(all *template.Template, known []object) template.FuncMap {
	table := sprig.TxtFuncMap()
	delete(table, "env")
	delete(table, "expandenv")
	depth := 0
	table["include"] = func(name string, data interface{}) (string, error) {
		if depth++; depth > 100 {
			return "", fmt.Errorf("`%s` includes itself", name)
		}
		defer func() { depth-- }()
		var text bytes.Buffer
		err := all.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	table["required"] = func(why string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(why)
		}
		return value, nil
	}
	table["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	table["toJson"] = func(value interface{}) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	}
	table["fromJson"] = func(text string) (object, error) {
		read := object{}
		err := json.Unmarshal([]byte(text), &read)
		return read, err
	}
	table["lookup"] = func(version, kind, namespace, name string) object {
		items := []interface{}{}
		for _, one := range known {
			about, _ := one["metadata"].(object)
			if one["apiVersion"] == version && one["kind"] == kind && (namespace == "" || about["namespace"] == namespace) {
				if name != "" && about["name"] == name {
					return one
				}
				items = append(items, one)
			}
		}
		if name != "" || len(items) == 0 {
			return object{}
		}
		return object{"items": items}
	}
	return table
}
