"""The platform as a person sees it: a real browser on a real webserver."""
