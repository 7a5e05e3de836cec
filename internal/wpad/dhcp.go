package wpad

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const (
	informTime = 2 * time.Second
	maxLinks   = 8
	option     = dhcpv4.GenericOptionCode(252)
)

// inform asks the DHCP servers of all networks of this machine for option 252.
// Their answers come to port 68, which needs privilege on most systems, and may be in use by the system's own client.
func inform(ctx context.Context) (said []string, err error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	asked := 0
	var faults error
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 || link.Flags&net.FlagBroadcast == 0 || asked == maxLinks {
			continue
		}
		addrs, _ := link.Addrs()
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.To4() == nil {
				continue
			}
			asked++
			found, err := informOn(ctx, link, n)
			if err != nil {
				faults = errors.Join(faults, err)
			} else if found != "" {
				said = append(said, found)
			}
			break
		}
	}
	switch {
	case len(said) > 0:
		return said, nil
	case asked == 0:
		return nil, errors.New("this machine has no network with DHCP")
	}
	return nil, faults
}

// informOn sends a DHCPINFORM into one network; empty: nobody answers, or has no such option.
func informOn(ctx context.Context, link net.Interface, n *net.IPNet) (string, error) {
	self := n.IP.To4()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: self, Port: dhcpv4.ClientPort})
	if err != nil {
		return "", fmt.Errorf("port %d cannot be used (%w)", dhcpv4.ClientPort, errors.Unwrap(err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(informTime))
	question, err := dhcpv4.NewInform(link.HardwareAddr, self, dhcpv4.WithRequestedOptions(option))
	if err != nil {
		return "", err
	}
	everybody := make(net.IP, 4) // of this network, so that the system sends it there
	for i := range everybody {
		everybody[i] = self[i] | ^n.Mask[len(n.Mask)-4+i]
	}
	if _, err := conn.WriteToUDP(question.ToBytes(), &net.UDPAddr{IP: everybody, Port: dhcpv4.ServerPort}); err != nil {
		return "", err
	}
	buffer := make([]byte, 4<<10)
	for {
		size, _, err := conn.ReadFromUDP(buffer)
		if err != nil {
			return "", nil // nobody has answered
		}
		if said, ok := named(buffer[:size], question.TransactionID); ok {
			return said, nil
		}
	}
}

// named is what an answer to a question names; not ok: it is none.
func named(answer []byte, to dhcpv4.TransactionID) (said string, ok bool) {
	a, err := dhcpv4.FromBytes(answer)
	if err != nil || a.TransactionID != to || a.MessageType() != dhcpv4.MessageTypeAck {
		return "", false
	}
	return string(a.Options.Get(option)), true
}
