// Package generation decides which desired state a machine is brought to, and when. A generation is such a state with what
// the machine adds to it. The one that runs is kept as the machine needs it while the next one is made ready beside it, and
// nothing of it is touched before the next one's bundle is there.
//
// What is done to the machine is [Work]; this package knows no kernel and no process.
package generation
