"""Small documents of each kind."""

from __future__ import annotations

import io
import zipfile

SCAN = None  # a page with a picture and no text


def pdf(*pages: list[str] | None, outline: dict[str, int] | None = None) -> bytes:
    """Return a PDF with these lines on its pages, and bookmarks by the index of their page."""
    objects = ["", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"]
    objects.append("<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /Length 1 >>\nstream\nx\nendstream")
    kids = []
    for lines in pages:
        drawn = "" if lines is None else "\n".join(f"({line}) Tj 0 -14 Td" for line in lines)
        content = f"BT /F1 12 Tf 72 720 Td {drawn} ET" if lines is not None else "/I Do"
        objects.append(f"<< /Length {len(content.encode('cp1252'))} >>\nstream\n{content}\nendstream")
        kids.append(len(objects) + 1)
        resources = "<< /XObject << /I 4 0 R >> >>" if lines is None else "<< /Font << /F1 3 0 R >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {resources} "
            f"/Contents {len(objects)} 0 R >>"
        )
    root = ""
    if outline:
        top = len(objects) + 1
        root = f" /Outlines {top} 0 R"
        numbers = [top + 1 + index for index in range(len(outline))]
        objects.append(f"<< /Type /Outlines /First {numbers[0]} 0 R /Last {numbers[-1]} 0 R /Count {len(numbers)} >>")
        for index, (title, page) in enumerate(outline.items()):
            following = f" /Next {numbers[index + 1]} 0 R" if index + 1 < len(numbers) else ""
            objects.append(f"<< /Title ({title}) /Parent {top} 0 R{following} /Dest [{kids[page]} 0 R /Fit] >>")
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R{root} >>"
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[1] = f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>"
    written, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(written))
        written += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(objects) + 1} /Root 1 0 R >>"
    return written + f"{end}\nstartxref\n{len(written)}\n%%EOF".encode()


def docx(*paragraphs: tuple[str, str], more: dict[str, bytes] | None = None) -> bytes:
    """Return a Word document of paragraphs, each with the name of its style."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{main}.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, extra in (more or {}).items():
            archive.writestr(name, extra)
    return packed.getvalue()
