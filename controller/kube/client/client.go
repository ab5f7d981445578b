// Package client is the typed client of Fairway's own kinds. It keeps no state and no
// cache: every call is one request.
package client

import (
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// Client reaches the kinds of the group bgp.fairway.dev.
type Client struct {
	rest   rest.Interface
	params runtime.ParameterCodec
}

// Each of these has Get, List, Watch, Create, Update, UpdateStatus, Patch, Delete and
// DeleteCollection.
type (
	// Speakers is the client of BGPSpeaker objects.
	Speakers = gentype.ClientWithList[*v1alpha1.BGPSpeaker, *v1alpha1.BGPSpeakerList]
	// Peers is the client of BGPPeer objects.
	Peers = gentype.ClientWithList[*v1alpha1.BGPPeer, *v1alpha1.BGPPeerList]
	// Advertisements is the client of BGPAdvertisement objects.
	Advertisements = gentype.ClientWithList[*v1alpha1.BGPAdvertisement, *v1alpha1.BGPAdvertisementList]
	// NodeStates is the client of BGPNodeState objects.
	NodeStates = gentype.ClientWithList[*v1alpha1.BGPNodeState, *v1alpha1.BGPNodeStateList]
)

// NewForConfig makes a client from a kubeconfig's or an in-cluster configuration, which
// it does not change.
func NewForConfig(config *rest.Config) (*Client, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the HTTP client: %w", err)
	}
	return NewForConfigAndClient(config, httpClient)
}

// NewForConfigAndClient is NewForConfig over an HTTP client that is shared, so that all
// clients of a process use one set of connections.
func NewForConfigAndClient(config *rest.Config, httpClient *http.Client) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	ours := rest.CopyConfig(config)
	ours.GroupVersion = &v1alpha1.SchemeGroupVersion
	ours.APIPath = "/apis"
	ours.NegotiatedSerializer = rest.CodecFactoryForGeneratedClient(scheme, serializer.NewCodecFactory(scheme)).WithoutConversion()
	// Custom resources exist in JSON only; a configuration shared with the clients of
	// built-in kinds may ask for protobuf.
	ours.ContentType = runtime.ContentTypeJSON
	ours.AcceptContentTypes = runtime.ContentTypeJSON
	if ours.UserAgent == "" {
		ours.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	restClient, err := rest.RESTClientForConfigAndClient(ours, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the REST client: %w", err)
	}
	return &Client{rest: restClient, params: runtime.NewParameterCodec(scheme)}, nil
}

// BGPSpeakers returns the client of BGPSpeaker objects.
func (c *Client) BGPSpeakers() *Speakers {
	return gentype.NewClientWithList(v1alpha1.ResourceBGPSpeakers, c.rest, c.params, "",
		func() *v1alpha1.BGPSpeaker { return &v1alpha1.BGPSpeaker{} },
		func() *v1alpha1.BGPSpeakerList { return &v1alpha1.BGPSpeakerList{} })
}

// BGPPeers returns the client of BGPPeer objects.
func (c *Client) BGPPeers() *Peers {
	return gentype.NewClientWithList(v1alpha1.ResourceBGPPeers, c.rest, c.params, "",
		func() *v1alpha1.BGPPeer { return &v1alpha1.BGPPeer{} },
		func() *v1alpha1.BGPPeerList { return &v1alpha1.BGPPeerList{} })
}

// BGPAdvertisements returns the client of BGPAdvertisement objects.
func (c *Client) BGPAdvertisements() *Advertisements {
	return gentype.NewClientWithList(v1alpha1.ResourceBGPAdvertisements, c.rest, c.params, "",
		func() *v1alpha1.BGPAdvertisement { return &v1alpha1.BGPAdvertisement{} },
		func() *v1alpha1.BGPAdvertisementList { return &v1alpha1.BGPAdvertisementList{} })
}

// BGPNodeStates returns the client of BGPNodeState objects, which are named as their nodes.
func (c *Client) BGPNodeStates() *NodeStates {
	return gentype.NewClientWithList(v1alpha1.ResourceBGPNodeStates, c.rest, c.params, "",
		func() *v1alpha1.BGPNodeState { return &v1alpha1.BGPNodeState{} },
		func() *v1alpha1.BGPNodeStateList { return &v1alpha1.BGPNodeStateList{} })
}
