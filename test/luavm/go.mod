// What runs Argo CD's scripts in the tests of config/argocd: a module of its own, as those are in two whose pins differ.
module github.com/drover-dev/drover/test/luavm

go 1.26.0

require (
	github.com/yuin/gopher-lua v1.1.2
	layeh.com/gopher-json v0.0.0-20190114024228-97fed8db8427
)
