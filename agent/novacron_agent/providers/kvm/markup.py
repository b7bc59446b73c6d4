"""XML of libvirt: written as a tree, and read without what a hostile document could do."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from novacron_agent.providers.lifecycle import EffectFailed


class _NoDocumentType(ET.TreeBuilder):
    """Its words may stand in a comment, or in what somebody keeps in a domain's metadata."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise EffectFailed("libvirt answered XML with a document type, which is not read")


def parsed(xml: str) -> ET.Element:
    """libvirt writes no document type; without one there are no entities that could grow, or name
    files.

    Raises:
        EffectFailed: it is not as libvirt writes it.
    """
    try:
        return ET.fromstring(xml, ET.XMLParser(target=_NoDocumentType()))
    except ET.ParseError as err:
        raise EffectFailed(f"libvirt answered what is no XML: {err}") from err


def add(parent: ET.Element, tag: str, text: object = None, **attributes: object) -> ET.Element:
    """Attributes that are None are left out."""
    given = {name: str(value) for name, value in attributes.items() if value is not None}
    child = ET.SubElement(parent, tag, given)
    if text is not None:
        child.text = str(text)
    return child


def written(tree: ET.Element) -> str:
    return ET.tostring(tree, encoding="unicode")


def text_of(tree: ET.Element, path: str) -> str:
    found = tree.find(path)
    return (found.text or "") if found is not None else ""
