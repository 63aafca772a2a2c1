// Package notify is what passes between the agent and whoever runs it: systemd, or the init of a local machine. It is
// systemd's protocol, sd_notify(3): a socket that a program is told of in its environment, and says there that it is
// ready, and from then on that it lives. Who runs it ends a program that is not ready in time, or was not heard of for too
// long, and starts it again.
package notify
