package retry_test

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/retry"
)

func ExampleBackoff() {
	policy := retry.Backoff{Base: 5 * time.Minute, Cap: time.Hour, Jitter: retry.NoJitter(), MaxAttempts: 7}
	for n := 1; ; n++ {
		wait, ok := policy.Next(retry.Attempt{N: n})
		if !ok {
			break
		}
		fmt.Print(wait, " ")
	}
	// Output: 5m0s 10m0s 20m0s 40m0s 1h0m0s 1h0m0s
}

func ExampleSchedule() {
	policy := retry.Schedule{time.Minute, 5 * time.Minute, 30 * time.Minute}
	for n := range 5 {
		wait, _ := policy.Next(retry.Attempt{N: n + 1})
		fmt.Print(wait, " ")
	}
	// Output: 1m0s 5m0s 30m0s 30m0s 30m0s
}

// A policy that has no patience with full mailboxes.
func ExamplePolicyFunc() {
	backoff := retry.Backoff{Jitter: retry.NoJitter()}
	policy := retry.PolicyFunc(func(a retry.Attempt) (time.Duration, bool) {
		if a.Enhanced == "4.2.2" && a.N >= 3 {
			return 0, false
		}
		return backoff.Next(a)
	})
	fmt.Println(policy.Next(retry.Attempt{N: 3, Code: 452, Enhanced: "4.2.2"}))
	fmt.Println(policy.Next(retry.Attempt{N: 3, Code: 451, Enhanced: "4.7.1"}))
	// Output:
	// 0s false
	// 4m0s true
}

func ExampleClassify() {
	v := retry.Classify(retry.Reply{Phase: retry.PhaseGreeting, Code: 554})
	fmt.Println(v.Outcome, v.Scope, v.NextHost)
	v = retry.Classify(retry.Reply{Phase: retry.PhaseRcpt, Code: 550, Enhanced: "5.1.1"})
	fmt.Println(v.Outcome, v.Scope, v.NextHost)
	// Output:
	// temporary host true
	// permanent recipient false
}
