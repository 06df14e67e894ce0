"""Other keys for what is stored: every ciphertext is opened and sealed anew, while readers and refreshes go on."""
