package kube

// watches are what a reader follows, in the order in which trouble is told. The reader's
// mutex guards them.
type watches []*watched

// complete reports whether every kind has been seen whole.
func (ws watches) complete() bool {
	for _, w := range ws {
		if !w.seen && !w.absent() && !w.idle {
			return false
		}
	}
	return true
}

func (ws watches) unreachable() bool {
	for _, w := range ws {
		if w.trouble.class == unreachable {
			return true
		}
	}
	return false
}

// worst returns the trouble of the reader as a whole: that of the kinds it needs.
func (ws watches) worst() trouble {
	var worst trouble
	for _, w := range ws {
		if w.trouble.class == fine || w.absent() {
			continue
		}
		if worst.class == fine || w.trouble.class < worst.class {
			worst = w.trouble
		}
	}
	return worst
}

// absent reports whether a kind is one to do without.
func (w *watched) absent() bool {
	return w.optional && (w.trouble.class == notServed || w.trouble.class == forbidden)
}
