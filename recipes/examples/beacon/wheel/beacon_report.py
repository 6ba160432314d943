"""Asks a Beacon how it is, and says so in one line."""

import json
import sys
import urllib.request


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7070"
    with urllib.request.urlopen(address + "/health", timeout=5) as answer:
        found = json.load(answer)
    print(f"{found['role']} is {found['state']}")


if __name__ == "__main__":
    main()
