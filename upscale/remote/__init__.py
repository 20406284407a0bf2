"""Files on the servers of others: found, checked, copied and kept, whatever is in them.

- Where: `locations` says which paths and URLs may be read, `public` closes connections to addresses
  that are not public, `redaction` masks secrets in all that is printed.
- What is there: `listing` finds the files that patterns name, in `folders` of this machine, in
  `buckets` and on index `pages`; `checksums` reads those of catalogues.
- How it comes here: `http` follows redirects hop by hop, `retries` says when a server is asked
  again, `pace` how often, `copies` makes the one resumable copy, `cache` keeps copies for many
  processes, `catalogue` verifies what a catalogue listed.

Any location may be hostile: every hop is checked, every answer has a limit, and no credential is
sent to another host than its own, or shown.
"""
