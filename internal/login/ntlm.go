package login

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/Azure/go-ntlmssp"
)

// ntlmLogin is NTLMv2: three legs over one connection.
type ntlmLogin struct {
	id      Identity
	started bool
}

func beginNTLM(_ *Login, _ Challenge, id Identity) (conversation, error) {
	if id.Implicit {
		return nil, errImplicit
	}
	return &ntlmLogin{id: id}, nil
}

func (l *ntlmLogin) next(_ context.Context, c Challenge, d demand) (string, error) {
	if !l.started {
		l.started = true
		message, err := ntlmssp.NewNegotiateMessage("", "")
		return "NTLM " + base64.StdEncoding.EncodeToString(message), err
	}
	challenge, err := base64.StdEncoding.DecodeString(c.Token)
	if err != nil || len(challenge) == 0 {
		return "", errors.New("its answer to NTLM cannot be read")
	}
	message, err := ntlmssp.NewAuthenticateMessage(bind(challenge, d.tls), l.id.User, l.id.Password, nil)
	return "NTLM " + base64.StdEncoding.EncodeToString(message), err
}

// bind puts the channel binding of the TLS connection into the target information of a challenge (MS-NLMP, section 2.2.2.1): the library
// repeats that in its answer, and the server sees whether somebody stands between.
func bind(challenge []byte, cs *tls.ConnectionState) []byte {
	const field, least = 40, 48 // of the target information: its length, and where it begins
	binding := endpointBinding(cs)
	if binding == nil || len(challenge) < least {
		return challenge
	}
	length, at := int(binary.LittleEndian.Uint16(challenge[field:])), int(binary.LittleEndian.Uint32(challenge[field+4:]))
	if length < 4 || at < least || at > len(challenge) || length > len(challenge)-at || length > 1<<15 {
		return challenge
	}
	const avChannelBindings = 10
	sum := md5.Sum(gssBinding(binding))
	var info []byte
	for rest := challenge[at : at+length]; len(rest) >= 4; {
		id, n := binary.LittleEndian.Uint16(rest), int(binary.LittleEndian.Uint16(rest[2:]))
		if id == 0 || n > len(rest)-4 {
			break
		}
		if id != avChannelBindings {
			info = append(info, rest[:4+n]...)
		}
		rest = rest[4+n:]
	}
	info = append(info, avChannelBindings, 0, byte(len(sum)), 0)
	info = append(append(info, sum[:]...), 0, 0, 0, 0)
	bound := append(slices.Clone(challenge), info...)
	binary.LittleEndian.PutUint16(bound[field:], uint16(len(info)))
	binary.LittleEndian.PutUint16(bound[field+2:], uint16(len(info)))
	binary.LittleEndian.PutUint32(bound[field+4:], uint32(len(challenge)))
	return bound
}

// endpointBinding is tls-server-end-point (RFC 5929, section 4): the hash of the server's certificate; nil without TLS.
func endpointBinding(cs *tls.ConnectionState) []byte {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return nil
	}
	cert, prefix := cs.PeerCertificates[0], "tls-server-end-point:"
	switch cert.SignatureAlgorithm {
	case x509.PureEd25519:
		return nil // the hash is not defined
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		sum := sha512.Sum384(cert.Raw)
		return append([]byte(prefix), sum[:]...)
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		sum := sha512.Sum512(cert.Raw)
		return append([]byte(prefix), sum[:]...)
	}
	sum := sha256.Sum256(cert.Raw)
	return append([]byte(prefix), sum[:]...)
}

// gssBinding is gss_channel_bindings_struct as it is hashed: no addresses, and the data (RFC 4121, section 4.1.1.2).
func gssBinding(data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(data)))
	return append(b, data...)
}
