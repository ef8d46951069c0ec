package speech

// Texts are the German ones.
func Texts() map[string]string { return german() }
