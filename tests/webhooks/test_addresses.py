"""Addresses of receivers: what the form accepts, and which networks are never reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from heygen_portal.runtime import client_address
from heygen_portal.webhooks import addresses
from heygen_portal.webhooks.addresses import AddressForbidden, check_url


@pytest.fixture
def in_production() -> Iterator[None]:
    with override_settings(ALLOWED_HOSTS=["portal.example.org"], WEBHOOK_INTERNAL_NETWORKS=["10.20.0.0/16"]):
        yield


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example.com/hooks/portal",
        "https://crm.example.com:8443/a?b=c&d=%20",
        "https://CRM.example.com.",
        "https://xn--bcher-kva.example",
        "https://93.184.216.34/hooks",
        "https://[2606:4700::1111]/hooks",
        "https://10.20.3.4/hooks",
    ],
)
def test_addresses_that_may_be_used(url: str) -> None:
    check_url(url)


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example.com",
        "ftp://crm.example.com/",
        "file:///etc/passwd",
        "http://crm.example.com/",
        "http://localhost/",
        "https://localhost/",
        "https://localhost./",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.0x1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a14:304]:0/",
        "https://[fe80::1%25eth0]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://192.168.1.1/",
        "https://0.0.0.0/",
        "https://user:password@crm.example.com/",
        "https://crm.example.com@127.0.0.1/",
        "https://crm.example.com\\@127.0.0.1/",
        "https://crm.example.com/#fragment",
        "https://crm.example.com:0/",
        "https://crm.example.com:99999/",
        "https://crm.example.com/a b",
        "https://crm.example.com/\r\nX-Header: 1",
        "https://crm.example.com/ñ",
        "https://crm.ejemplo.ñ/",
        "https:///hooks",
        "https://.",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(AddressForbidden):
        check_url(url)


def test_without_production_this_machine_may_be_reached_without_tls() -> None:
    with override_settings(ALLOWED_HOSTS=["localhost", "127.0.0.1"], WEBHOOK_INTERNAL_NETWORKS=[]):
        for url in ("http://localhost:8080/", "http://127.0.0.1:8080/", "https://[::1]/"):
            check_url(url)
        for url in ("http://192.168.1.1/", "https://192.168.1.1/", "http://crm.example.com/"):
            with pytest.raises(AddressForbidden):
                check_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.170",
        "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1",
        "2001::7f00:1", "2001:db8::1", "2002:a00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "no address",
    ],
)  # fmt: skip
def test_no_address_inside_is_public(address: str) -> None:
    assert not client_address.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert client_address.is_public(address)


@pytest.mark.usefixtures("in_production")
def test_an_operator_allows_networks() -> None:
    assert addresses.is_allowed("10.20.0.1")
    assert addresses.is_allowed("::ffff:10.20.0.1")
    assert not addresses.is_allowed("10.21.0.1")
    assert not addresses.is_allowed("127.0.0.1")
