"""The kernel over HTTP: routes, their protection, their description."""
