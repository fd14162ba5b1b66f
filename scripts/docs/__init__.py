"""The site: pages, and what builds them."""
