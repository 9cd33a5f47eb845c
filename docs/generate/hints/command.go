package hints

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Programs are the programs of others that hints may name: those that every Debian or Bitcoin
// Core has, and shell builtins.
var Programs = []string{
	"bitcoin-cli", "cat", "chattr", "chmod", "chown", "cp", "df", "dmesg", "export", "find", "findmnt", "journalctl", "kill", "ls", "mkdir", "mount", "mv", "rm",
	"sysctl", "systemctl", "timedatectl", "ulimit",
}

var (
	own = regexp.MustCompile(`^(ailee|ailee[-_][a-z0-9_-]+)$`)
	// free are the programs that any word may follow. Other programs must be followed by an
	// option or a placeholder, or else they are just English words.
	free = []string{"bitcoin-cli", "export", "journalctl", "sysctl", "systemctl", "timedatectl"}
	// values are the words that are arguments of commands or values of flags.
	values = []string{"all", "anchor", "anchors", "blocks", "families", "json", "list", "pending", "reorgs", "verify"}
)

// Commands returns the command lines in the text of a hint, as words.
func Commands(text string) (all [][]string) {
	for _, c := range find(text) {
		all = append(all, strings.Fields(text[c[0]:c[1]]))
	}
	return all
}

// Marked returns the text with its command lines in backquotes.
func Marked(text string) string {
	var b strings.Builder
	at := 0
	for _, c := range find(text) {
		b.WriteString(text[at:c[0]] + "`" + text[c[0]:c[1]] + "`")
		at = c[1]
	}
	return b.String() + text[at:]
}

var word = regexp.MustCompile(`\S+`)

// find returns where command lines begin and end. A command line ends at the punctuation after
// it, or where English words follow.
func find(text string) (found [][2]int) {
	words := word.FindAllStringIndex(text, -1)
	bare := func(i int) (w string, ended bool) {
		full := text[words[i][0]:words[i][1]]
		w = strings.TrimRight(full, ",;:")
		return w, w != full
	}
	for i := 0; i < len(words); i++ {
		name, ended := bare(i)
		isOwn, any := own.MatchString(name), slices.Contains(free, name)
		if !isOwn && !slices.Contains(Programs, name) {
			continue
		}
		last, end, option := i, words[i][0]+len(name), false
		for j := i + 1; j < len(words) && !ended; j++ {
			arg, e := bare(j)
			if arg == "&&" || !any && !option && !isArgument(arg) && (!isOwn || !slices.Contains(values, arg)) {
				break
			}
			last, end, ended = j, words[j][0]+len(arg), e
			option = !isOwn && strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=")
		}
		if last == i && !isOwn && !any {
			continue
		}
		found = append(found, [2]int{words[i][0], end})
		i = last
	}
	return found
}

// isArgument reports whether a word is an option, a placeholder, a path or a number.
func isArgument(word string) bool {
	if word == "" {
		return false
	}
	first := rune(word[0])
	return strings.ContainsRune("-/.<>", first) && len(word) > 1 || unicode.IsDigit(first) || strings.Trim(word, "<>…") == "" ||
		strings.ContainsAny(word, "/=") || unicode.IsUpper(first) && (len(word) == 1 || unicode.IsUpper(rune(word[1])))
}
