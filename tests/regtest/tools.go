//go:build tools

// Package regtest names the two programs of the test network, so that go.mod
// pins them and everything they need.
package regtest

import (
	_ "github.com/btcsuite/btcd"
	_ "github.com/lightningnetwork/lnd/cmd/lnd"
)
