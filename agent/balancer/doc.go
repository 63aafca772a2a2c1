// Package balancer passes connections on to one of several API servers, which it knows to be well.
//
// It works below TLS, so that its clients check the API server's certificate themselves and are known to the server by their own:
// what cannot be read cannot be changed. All connections go to one server, which is another one only for a reason:
//
//   - It is not well. Its clients would hold on to a connection that nothing comes over until a timeout of theirs, if they
//     have one, so the connections are ended, and begun anew elsewhere.
//   - One that comes before it has been well again for a while. How long is up to chance as well, or the nodes of a cluster would
//     all come back in the same moment.
//
// Where none is well nobody is refused: each is tried in turn, and what there is of connections is left alone.
package balancer
