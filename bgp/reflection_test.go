package bgp

import "testing"

// RFC 4456, section 6: what a client tells goes to all, what a non-client tells to clients.
func TestWhoHearsWhomOfAReflector(t *testing.T) {
	for _, c := range []struct {
		to, from Reflection
		want     bool
	}{
		{Client, Client, true}, {Client, NonClient, true}, {NonClient, Client, true}, {NonClient, NonClient, false},
		{NoReflection, Client, false}, {NoReflection, NonClient, false}, {Client, NoReflection, false}, {NonClient, NoReflection, false},
	} {
		if got := c.to.Hears(c.from); got != c.want {
			t.Errorf("%q hears %q: %v", c.to, c.from, got)
		}
	}
}
