"""Where a request comes from: this machine, our own page, or a page of another site."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp.web import BaseRequest, HTTPForbidden, Request

NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""What this machine calls itself."""
FORWARDING = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""Headers of a proxy: whoever is behind it, its own address says nothing of them."""


def is_loopback(host: str) -> bool:
    """Return whether a name or an address can be reached from this machine only."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def check_local(request: Request) -> None:
    """Refuse what does not come from this machine.

    Raises:
        HTTPForbidden: it came from elsewhere, through a proxy, or by a name that another site may
            have pointed at this machine.
    """
    is_direct = not any(name in request.headers for name in FORWARDING)
    hosts = request.headers.getall("Host", [])
    if not (is_direct and is_loopback(address_of(request)) and len(hosts) == 1):
        raise HTTPForbidden(text="without API_TOKENS, only this machine is answered")
    if _host_name(hosts[0]) not in NAMES:
        raise HTTPForbidden(text="without API_TOKENS, only localhost is answered for")


def check_same_site(request: Request) -> None:
    """Refuse a change that a page of another site may be behind.

    Raises:
        HTTPForbidden: the browser says so, or it says nothing and a form could have sent this.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        is_ours = site in {"same-origin", "none"}
    elif origin is not None:
        is_ours = origin == f"{request.scheme}://{request.host}"
    else:
        # Programs send neither. Of what browsers send without asking us first, a POST is the only
        # change, and it is never JSON.
        is_ours = request.method != "POST" or request.content_type == "application/json"
    if not is_ours:
        raise HTTPForbidden(
            text="this may come from a page of another site: send Content-Type: application/json,"
            " and no Origin but our own"
        )


def address_of(request: BaseRequest) -> str:
    """Return the address of the other end of the connection, whoever it speaks for."""
    return request.remote or ""


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
