package v1alpha1

import "unicode/utf8"

// Truncate cuts the status to what the schema holds, so that none is refused for its
// size. What comes first stays: sort the worst to the front before. It changes the
// entries in place.
func (s *BGPNodeStateStatus) Truncate() {
	s.Sessions = head(s.Sessions, MaxSessions)
	s.Routes.Failed = head(s.Routes.Failed, MaxFailedRoutes)
	s.Routes.Refused = head(s.Routes.Refused, MaxRefused)
	s.Advertisements = head(s.Advertisements, MaxAdvertised)
	s.Problems = head(s.Problems, MaxProblems)
	for i := range s.Sessions {
		s.Sessions[i].truncate()
	}
	for i := range s.Advertisements {
		s.Advertisements[i].Rejected = head(s.Advertisements[i].Rejected, MaxRejected)
	}
	for i := range s.Routes.Failed {
		s.Routes.Failed[i].Reason = cut(s.Routes.Failed[i].Reason)
	}
	for i := range s.Problems {
		s.Problems[i].Message = cut(s.Problems[i].Message)
	}
}

func (s *SessionStatus) truncate() {
	s.LastError = cut(s.LastError)
	s.Capabilities = head(s.Capabilities, MaxCapabilities)
	for i := range s.Families {
		s.Families[i].Rejected = head(s.Families[i].Rejected, MaxRejected)
	}
}

func head[T any](list []T, most int) []T { return list[:min(len(list), most)] }

// cut shortens a text to MaxMessageLength characters, and shows that it did.
func cut(text string) string {
	if utf8.RuneCountInString(text) <= MaxMessageLength {
		return text
	}
	return string([]rune(text)[:MaxMessageLength-1]) + "…"
}
