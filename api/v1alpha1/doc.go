// Package v1alpha1 holds the kinds that users and agents write in the group
// bgp.fairway.dev, version v1alpha1, with their defaults and their validation.
//
// It keeps one thing true: an object gets the same verdict and the same defaults
// whether it passes through an API server, by schema and CEL, or is read from a
// folder, by [SetDefaultsBGPSpeaker] and its like and the Validate methods. The files
// under testdata are judged by both. Two differences are known, and both are the
// schema's limits: label selectors are looked into by Validate only, and an empty
// string is absent here and an error there.
//
// It also keeps a second thing true: a field either has an effect or is named by
// NotImplemented when it is set to something other than its default.
//
// What one object cannot know about, such as a missing Secret or a second speaker for
// the same node, is not judged here but said in a condition.
//
// +kubebuilder:object:generate=true
// +groupName=bgp.fairway.dev
package v1alpha1
