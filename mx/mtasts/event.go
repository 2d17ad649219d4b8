package mtasts

// Event is what [Router.Observe] is told: [Applied] or [Failed].
type Event interface{ event() }

// Applied says that a route was held against a policy, in mode [Testing] or [Enforce].
type Applied struct {
	Domain    string   // as the policy's owner has it: in lower case, in A-labels
	Policy    *Policy  // shared: not to be changed
	Unmatched []string // hosts of the route that the policy doesn't allow: left out if it is enforced
}

// Failed says that a policy couldn't be fetched or stored. A policy from before, if there is one, is in force until it expires.
type Failed struct {
	Domain string
	Err    error // a [*FetchError], or what the Store says
}

func (Applied) event() {}
func (Failed) event()  {}

func (r *Router) tell(e Event) {
	if r.Observe != nil {
		r.Observe(e)
	}
}
