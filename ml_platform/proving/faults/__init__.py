"""Entry modules of broken packages: each calls the service's factory with one part exchanged.

They can be imported inside a packaged folder only; their numbers are options of the package.
"""
