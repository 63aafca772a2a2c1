package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// mostOfHeader bounds what a proxy may answer before the connection begins.
const mostOfHeader = 16 << 10

// dialProxy reaches the target by asking a proxy to CONNECT.
func dialProxy(ctx, within context.Context, t Target) (net.Conn, error) {
	proxy, err := url.Parse(t.HTTPProxy)
	if err != nil {
		return nil, failure(InvalidTarget, "the HTTP proxy for %s is not a URL", t.hostPort())
	}
	address := proxy.Host
	if proxy.Port() == "" {
		address = net.JoinHostPort(proxy.Hostname(), "80")
	}
	conn, err := new(net.Dialer).DialContext(within, "tcp", address)
	if err != nil {
		return nil, unreachable(ctx, within, t, fmt.Errorf("HTTP proxy %s: %w", address, err))
	}
	stop := context.AfterFunc(within, func() { _ = conn.Close() })
	err = askToConnect(conn, t.hostPort(), proxy.User)
	if !stop() && err == nil {
		err = within.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, unreachable(ctx, within, t, fmt.Errorf("HTTP proxy %s: %w", address, err))
	}
	return conn, nil
}

func askToConnect(conn net.Conn, to string, user *url.Userinfo) error {
	request := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n", to, to)
	if user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + credentials + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	header, err := readHeader(conn)
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(header)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return errors.New("its answer is not HTTP")
	}
	_ = response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("it refuses to connect to %s: %s", to, clip(response.Status))
	}
	return nil
}

// readHeader takes byte after byte, for what follows the header belongs to SSH.
func readHeader(conn net.Conn) ([]byte, error) {
	var header []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(header, []byte("\r\n\r\n")) {
		if len(header) == mostOfHeader {
			return nil, errors.New("its answer has no end")
		}
		if _, err := conn.Read(one); err != nil {
			return nil, err
		}
		header = append(header, one[0])
	}
	return header, nil
}
