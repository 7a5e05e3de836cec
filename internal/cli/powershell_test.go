package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"bits/internal/console"
	"bits/internal/contract"
)

// docs/powershell.md has every parameter of the cmdlets, and names only commands, flags, calls and properties that are there.
func TestPowerShellDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/powershell.md")
	if err != nil {
		t.Fatal(err)
	}
	root := app{&console.App{}}.commands()
	properties, calls := map[string]bool{}, map[string]bool{}
	for _, p := range contract.Properties() {
		properties[p.Name] = p.Settable()
	}
	for _, o := range contract.Operations() {
		calls[o.Name] = true
	}
	count := map[string]int{}
	assignment, flag := regexp.MustCompile(`(?:^|[ '])([a-z_]+)=`), regexp.MustCompile(` (--[a-z-]+)`)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 || !strings.Contains(cells[0], "-Bits") {
			continue
		}
		count[strings.TrimPrefix(cells[0], "| ")]++
		for _, code := range regexp.MustCompile("`bits ([^`]*)`").FindAllStringSubmatch(cells[2], -1) {
			words := strings.Fields(code[1])
			cmd, _, err := root.Find(words[:1])
			if err != nil || cmd == root {
				t.Errorf("%s: there is no command %s", code[0], words[0])
				continue
			}
			for _, f := range flag.FindAllStringSubmatch(" "+strings.ReplaceAll(code[1], "$(", " "), -1) {
				if cmd.Flag(f[1][2:]) == nil && !strings.Contains(code[1], "$(") {
					t.Errorf("%s: %s has no flag %s", code[0], words[0], f[1])
				}
			}
			for _, p := range assignment.FindAllStringSubmatch(code[1], -1) {
				if !properties[p[1]] {
					t.Errorf("%s: %s is no property that can be set", code[0], p[1])
				}
			}
			if words[0] == "call" && !calls[words[2]] {
				t.Errorf("%s: there is no call %s", code[0], words[2])
			}
		}
	}
	for cmdlet, n := range map[string]int{
		"Start-BitsTransfer": 33, "Set-BitsTransfer": 30, "Get-BitsTransfer": 3, "Add-BitsFile": 5,
		"Suspend-BitsTransfer": 3, "Resume-BitsTransfer": 4, "Complete-BitsTransfer": 3, "Remove-BitsTransfer": 3,
	} {
		if count[cmdlet] != n {
			t.Errorf("%s has %d rows, and %d parameters", cmdlet, count[cmdlet], n)
		}
	}
}
