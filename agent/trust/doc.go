// Package trust says why a server's certificate was not trusted, and what to do about it: the wrong authority and the
// wrong clock look alike to whoever reads "certificate is not trusted".
package trust
