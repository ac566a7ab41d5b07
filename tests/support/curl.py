"""As much of curl as the README's story uses, for machines that have none: ``-s -f URL -H HEADER -d DATA``."""

import sys
import urllib.error
import urllib.request


def main(arguments: list[str]) -> int:
    url, data, fail, headers = "", None, False, {}
    rest = iter(arguments)
    for argument in rest:
        match argument:
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "-d":
                data = next(rest).encode()
            case _ if argument.startswith("-"):
                fail = fail or "f" in argument
            case _:
                url = argument
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:  # noqa: S310 - loopback
            sys.stdout.buffer.write(answer.read())
    except urllib.error.HTTPError as error:
        if fail:
            return 22
        sys.stdout.buffer.write(error.read())
    except OSError:
        return 7
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
