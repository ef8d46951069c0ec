package manifest

// A Pair names the other disk's backup, where a system lies on two disks.
type Pair struct {
	File  string `json:"file"`            // of an image: its name in the same folder; of a snapshot: SERIES/ID
	Size  int64  `json:"size"`            // of the disk in it, bytes
	ID    string `json:"id,omitempty"`    // of its table
	Boots bool   `json:"boots,omitempty"` // it is the one that boots
}
