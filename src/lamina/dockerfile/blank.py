"""White space as Go's ``unicode.IsSpace`` knows it, which Docker splits and trims by."""

from __future__ import annotations

#: For ``strip`` and for character classes. Python's own white space has U+001C to U+001F too.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
