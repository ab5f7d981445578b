package lab

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// stateOf is the letter of a process's state; "" for none, or one that has ended.
func stateOf(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	state := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[0]
	if state == "Z" || state == "X" {
		return ""
	}
	return state
}
