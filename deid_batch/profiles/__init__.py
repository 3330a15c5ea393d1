"""The confidentiality profile of PS3.15 Annex E: its tables as data, and what follows from them for an element."""
