package bits

import "time"

// ValidationCallback is the name of the interface that an application must implement to judge certificates.
// The local API takes it in the place of the pointer; anything else is E_NOINTERFACE.
const ValidationCallback = "IBackgroundCopyServerCertificateValidationCallback"

// Question is what the application of a job is asked during the handshake: the parameters of ValidateServerCertificate.
type Question struct {
	ID           string      `json:"question"`
	Job          string      `json:"job"`
	File         int         `json:"file"` // the file being transferred when the connection was opened
	URL          string      `json:"url"`
	Endpoint     string      `json:"endpoint"`      // server name:port
	Certificate  []byte      `json:"certificate"`   // DER of the leaf
	EncodingType uint32      `json:"encoding_type"` // X509_ASN_ENCODING
	Chain        [][]byte    `json:"chain"`         // DER as the server sent it, leaf first
	Verified     [][]byte    `json:"verified"`      // DER of the chain that phase one built, leaf first, root last
	Store        []byte      `json:"store"`         // the chain as a serialized certificate store
	Facts        Certificate `json:"facts"`
	Deadline     time.Time   `json:"deadline"` // after it the job is ERROR, BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED
}

// Certificate are the facts of a leaf that people and scripts ask for.
type Certificate struct {
	Subject         string    `json:"subject"`
	Issuer          string    `json:"issuer"`
	Serial          string    `json:"serial"`
	NotBefore       time.Time `json:"not_before"`
	NotAfter        time.Time `json:"not_after"`
	SHA256          string    `json:"sha256"`            // of the certificate, lower-case hex
	PublicKeySHA256 string    `json:"public_key_sha256"` // of SubjectPublicKeyInfo, lower-case hex
}
