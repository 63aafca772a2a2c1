package revision

// defaults are what the API server puts into a pool's settings where the user wrote nothing, as JSON, by their paths below
// spec.template.spec; the items of a list have [] after its name. They are those of the kind's schema, which a test compares
// them with. One that is there stays as it is: pools are stored with it.
var defaults = map[string]string{
	"drift.binaries": `"Repair"`,
	"drift.files":    `"Repair"`,
	"drift.rules":    `"Repair"`,
	"drift.sysctls":  `"Repair"`,
	"network.mode":   `"Routes"`,
	"proxy.mode":     `"nftables"`,
}
