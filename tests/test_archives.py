"""Images that lie in few files: a ZIP archive, Parquet files, shards of WebDataset, what Hugging Face saved."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import write_tiny

from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import Listing
from surgeon.errors import BadImageError, SurgeonError

Surgeon = Callable[..., Any]


def read(name: str, path: Path, **parameters: object) -> Listing:
    return SOURCES[name].read({"path": str(path), **parameters}, ())


def pack(out: Path, members: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out


@pytest.fixture(scope="module")
def picture(photos: Path) -> bytes:
    return (photos / "along" / "0.png").read_bytes()


def test_an_archive_is_read_as_the_folder_that_it_was_made_of(photos: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", photos.parent, photos.name))
    found, expected = read("zip", packed), read("folder", photos)
    assert found.classes == expected.classes == SOURCES["zip"].classes({"path": str(packed)})
    assert [image.read() for image in found.images] == [image.read() for image in expected.images]
    assert [image.label for image in found.images] == [image.label for image in expected.images]


def test_splits_classes_and_what_is_passed_over(picture: bytes, tmp_path: Path) -> None:
    names = [f"d/{split}/{label}/{n}.png" for split in ("train", "val") for label in "ab" for n in range(2)]
    others = ["__MACOSX/d/._0.png", "d/.DS_Store", "d/notes.txt", "d/train/stray.png", "d/train/a/raw.cr2"]
    packed = pack(tmp_path / "d.zip", dict.fromkeys([*names, *others], picture) | {"d/notes.txt": b"notes"})
    listing = read("zip", packed)
    assert Counter(image.split for image in listing.images) == {"train": 4, "validation": 4}
    assert listing.classes == ("a", "b")
    assert listing.ignored == 3
    assert {name for names in listing.left_out.values() for name in names} == {"d/train/stray.png", "d/train/a/raw.cr2"}
    assert SOURCES["zip"].splits({"path": str(packed)})
    as_classes = read("zip", packed, splits=False)
    assert as_classes.classes == ("train", "val")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: b"no archive", "is not a ZIP archive"),
        (lambda content: content[:-30], "is not a ZIP archive"),
        (lambda content: None, "cannot read"),
    ],
)
def test_what_is_no_archive_is_named(damage: Callable[[bytes], Any], said: str, picture: bytes, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {"a/0.png": picture, "b/0.png": picture})
    content = damage(packed.read_bytes())
    packed.unlink() if content is None else packed.write_bytes(content)
    with pytest.raises(SurgeonError, match=said):
        read("zip", packed)


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(SurgeonError, match="is a folder, not a ZIP archive") as error:
        read("zip", tmp_path)
    assert str(error.value.hint) == f"write data.source: {{folder: {tmp_path}}}"


def test_a_bad_image_of_an_archive_is_one_bad_image(picture: bytes, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {"a/0.png": picture, "b/0.png": picture})
    content = bytearray(packed.read_bytes())
    content[content.index(picture) + 60] ^= 255  # its checksum is wrong now
    packed.write_bytes(content)
    first, second = read("zip", packed).images
    with pytest.raises(BadImageError, match="cannot be unpacked"):
        first.read()
    assert second.read() == picture


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_may_unpack_to_anything_at_once_is_not_unpacked(method: int, tmp_path: Path) -> None:
    """Of a method whose reader gives more than it was asked for."""
    packed = pack(tmp_path / "a.zip", {"a/0.png": bytes(1 << 24), "b/1": b"x"}, compression=method)
    (image,) = read("zip", packed).images
    tracemalloc.start()
    with pytest.raises(BadImageError, match="compressed with a method other"):
        image.read()
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_damaged_name_inside_an_archive_is_a_bad_image(picture: bytes, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {"a/0.png": picture, "b/0.png": picture})
    content = bytearray(packed.read_bytes())
    content[content.index(b"a/0.png")] = 0xFF  # the local header's; the list at the end has the true one
    packed.write_bytes(content)
    first, second = read("zip", packed).images
    with pytest.raises(BadImageError, match="cannot be unpacked"):
        first.read()
    assert second.read() == picture


def test_two_members_of_one_name_are_refused(picture: bytes, tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.zip", {"a/0.png": picture, "b/0.png": picture})
    with zipfile.ZipFile(packed, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a/0.png", picture)
    with pytest.raises(SurgeonError, match=r"two images are called 'a/0\.png'"):
        read("zip", packed)


def test_images_without_a_suffix_backslashes_and_a_picture_beside_the_folders(picture: bytes, tmp_path: Path) -> None:
    names = ["p\\a\\0.png", "p/b/1", "p/preview.png", "p/rose.gif/", "p/b/notes"]
    listing = read("zip", pack(tmp_path / "a.zip", {name: b"text" if "notes" in name else picture for name in names}))
    assert [(image.name, image.label) for image in listing.images] == [("p/a/0.png", "a"), ("p/b/1", "b")]
    assert list(listing.left_out.values()) == [("p/preview.png",)]
    assert listing.ignored == 1


def test_an_image_that_unpacks_to_more_than_it_may_is_a_bad_image(
    picture: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgeon.catalogue.sources.zip_file.MAX_IMAGE_BYTES", 10_000)
    members = {"a/0.png": bytes(1_000_000), "b/0.png": picture[:9_000]}
    bomb, sound = read("zip", pack(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED)).images
    with pytest.raises(BadImageError, match="more than 10,000 bytes"):
        bomb.read()
    assert len(sound.read()) == min(len(picture), 9_000)


def test_an_archive_without_class_folders_is_said(surgeon: Surgeon, picture: bytes, tmp_path: Path) -> None:
    told = surgeon("init", pack(tmp_path / "flat.zip", {"0.png": picture}), "--out", tmp_path / "r.yaml")
    assert told.code == 1
    assert "no labelled images in" in told.err


@pytest.mark.usefixtures("without_pictures")
def test_an_archive_goes_all_the_way(surgeon: Surgeon, photos: Path, tmp_path: Path) -> None:
    """The same run as from the folder; the classes are those of the folder, and so are the predictions."""
    packed = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", photos))
    made = surgeon("init", packed, "--out", tmp_path / "drafted.yaml")
    assert made.code == 0, made.err
    assert surgeon("check", packed).code in (0, 1)
    drafted = yaml.safe_load((tmp_path / "drafted.yaml").read_text(encoding="utf-8"))
    assert drafted["data"]["source"] == {"zip": "photos.zip"}
    assert surgeon("validate", tmp_path / "drafted.yaml").code == 0

    recipe = write_tiny(tmp_path / "tiny.yaml", photos)
    source = f"data.source={{zip: '{packed}'}}"
    behind_url = f"data.source={{url: 'file://{photos}'}}"
    for out, more in (("folder", ()), ("zip", ("--set", source)), ("url", ("--set", behind_url))):
        done = surgeon("run", recipe, "--out", tmp_path / out, "--quiet", "--set", "deterministic=true", *more)
        assert done.code == 0, done.err
    tables = [(tmp_path / out / "predictions.csv").read_text(encoding="utf-8") for out in ("folder", "zip", "url")]
    assert tables[0] == tables[1] == tables[2]
    measured = surgeon("evaluate", tmp_path / "zip", packed)
    assert measured.code == 0, measured.err
    assert "24 images" in measured.out


@pytest.fixture
def bucket(picture: bytes) -> Iterator[Any]:
    """Photographs in what passes for object storage, in splits."""
    system = pytest.importorskip("fsspec", reason="the extra `url` is not installed").filesystem("memory")
    for name in ("train/a/0.png", "train/b/1.png", "val/a/2.png", "val/b/3.png"):
        system.pipe_file(f"/photos/{name}", picture)
    system.pipe_file("/photos/train/a/raw.cr2", b"raw")
    system.pipe_file("/photos/train/notes.txt", b"notes")
    yield system
    system.rm("/photos", recursive=True)


def read_url(url: str) -> Listing:
    return SOURCES["url"].read({"url": url}, ())


def test_images_behind_a_url_come_once(bucket: Any, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = read_url("memory://photos")
    assert [(image.name, image.label, image.split) for image in listing.images] == [
        ("train/a/0.png", "a", "train"),
        ("train/b/1.png", "b", "train"),
        ("val/a/2.png", "a", "validation"),
        ("val/b/3.png", "b", "validation"),
    ]
    assert (listing.ignored, [name for names in listing.left_out.values() for name in names]) == (
        1,
        ["train/a/raw.cr2"],
    )
    assert SOURCES["url"].splits({"url": "memory://photos"})
    first, second, *_ = listing.images
    assert first.read() == picture
    bucket.pipe_file("/photos/train/b/1.png", b"another")
    monkeypatch.setattr(type(bucket), "cat_file", None)
    assert first.read() == picture
    with pytest.raises(SurgeonError, match=r"1\.png.*check the URL"):  # the network, not the image, is to blame
        second.read()
    monkeypatch.undo()
    assert read_url("memory://photos").images[1].read() == b"another"


def test_what_is_behind_a_url_is_bounded(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surgeon.catalogue.sources.url.MAX_IMAGE_BYTES", 10)
    with pytest.raises(BadImageError):
        read_url("memory://photos").images[0].read()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("photos", "photos is not a URL; give one such as s3://"),
        ("memory://nothing", "no labelled images at memory://nothing"),
        ("memroy://photos", "Protocol not known: memroy"),
    ],
)
def test_a_url_that_leads_nowhere_is_said(url: str, said: str, bucket: Any) -> None:
    with pytest.raises(SurgeonError) as raised:
        read_url(url)
    assert said in str(raised.value)
    assert SOURCES["url"].classes({"url": url}) is None
    assert not SOURCES["url"].splits({"url": url})


@pytest.fixture(scope="module")
def saved(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The striped photographs as Hugging Face's library saves them, in two splits, as Parquet files, and in a shard."""
    datasets = pytest.importorskip("datasets", reason="the extra `datasets` is not installed")
    root = tmp_path_factory.mktemp("saved")
    names = sorted(folder.name for folder in photos.iterdir())
    rows = [(file, label) for label in names for file in sorted((photos / label).iterdir())]
    kind = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=names)})
    parts = {}
    for split, chosen in (("train", rows[::2]), ("test", rows[1::2])):
        held = [{"bytes": file.read_bytes(), "path": file.name} for file, _ in chosen]
        columns = {"picture": held, "kind": [label for _, label in chosen]}
        parts[split] = datasets.Dataset.from_dict(columns, features=kind)
        parts[split].to_parquet(str(root / f"{split}-00000-of-00001.parquet"))
    datasets.DatasetDict(parts).save_to_disk(str(root / "disk"))
    with tarfile.open(root / "shard.tar", "w") as shard:
        for number, (file, label) in enumerate(rows):
            for suffix, content in (("png", file.read_bytes()), ("cls", str(names.index(label)).encode())):
                member = tarfile.TarInfo(f"{number:04}.{suffix}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return root


@pytest.mark.parametrize("path", ["disk", ".", "shard.tar"])
def test_what_the_library_reads_has_the_bytes_of_the_files(path: str, saved: Path, photos: Path) -> None:
    listing = read("hugging_face", saved / path) if path != "." else read("hugging_face", _parquet(saved))
    expected = read("folder", photos)
    assert sorted(image.read() for image in listing.images) == sorted(image.read() for image in expected.images)
    if path == "shard.tar":
        assert listing.classes == ("0", "1")
        assert {image.split for image in listing.images} == {None}
    else:
        assert listing.classes == expected.classes
        assert Counter(image.split for image in listing.images) == {"train": 12, "test": 12}
    labels = {image.read(): image.label for image in expected.images}
    for image in listing.images:
        assert expected.classes.index(labels[image.read()]) == listing.classes.index(image.label)


def _parquet(saved: Path) -> Path:
    folder = saved / "parquet"
    folder.mkdir(exist_ok=True)
    for file in saved.glob("*.parquet"):
        shutil.copy(file, folder)
    return folder


def test_a_data_set_reads_no_file_that_it_only_names(saved: Path, photos: Path, tmp_path: Path) -> None:
    import datasets

    kind = datasets.Features({"image": datasets.Image(decode=False), "label": datasets.Value("int64")})
    mine = str(photos / "along" / "0.png")
    rows = {"image": [{"bytes": None, "path": mine}, {"bytes": b"x", "path": "x.png"}], "label": [0, 1]}
    datasets.Dataset.from_dict(rows, features=kind).to_parquet(str(tmp_path / "set.parquet"))
    first, second = read("hugging_face", tmp_path / "set.parquet").images
    with pytest.raises(BadImageError, match="does not contain it"):
        first.read()
    assert second.read() == b"x"


@pytest.mark.parametrize("named", ["state.json", "dataset_dict.json"])
def test_a_saved_data_set_that_leads_out_of_its_folder_is_refused(named: str, saved: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved / "disk", tmp_path / "disk"))
    file = copy / named if named == "dataset_dict.json" else copy / "train" / named
    found = json.loads(file.read_text(encoding="utf-8"))
    if named == "state.json":
        found["_data_files"][0]["filename"] = str(saved / "disk" / "train" / found["_data_files"][0]["filename"])
    else:
        found["splits"] = ["../disk/train", "test"]
    file.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(SurgeonError, match="not in its folder"):
        read("hugging_face", copy)


def test_labels_that_are_typed_as_images_are_not_opened(saved: Path, tmp_path: Path) -> None:
    import datasets

    held = {"bytes": b"x", "path": None}
    kinds = {"image": datasets.Image(decode=False), "label": datasets.List(datasets.Image(decode=False))}
    table = datasets.Dataset.from_dict({"image": [held] * 2, "label": [[held]] * 2}, features=datasets.Features(kinds))
    table.cast_column("label", datasets.List(datasets.Image())).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(SurgeonError, match="does not hold one value per image"):
        read("hugging_face", tmp_path / "set")


def test_rows_without_a_class_and_classes_without_a_name(saved: Path, tmp_path: Path) -> None:
    import datasets

    kinds = {"image": datasets.Image(decode=False), "label": datasets.Value("int64")}
    rows = {"image": [{"bytes": b"x", "path": None}] * 3, "label": [0, None, 7]}
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    table.with_format("numpy").save_to_disk(str(tmp_path / "plain"))
    assert [image.label for image in read("hugging_face", tmp_path / "plain").images] == ["0", "7"]
    lists = datasets.Dataset.from_dict({**rows, "label": [None, [1], [2]]})
    lists.cast_column("image", datasets.Image(decode=False)).save_to_disk(str(tmp_path / "lists"))
    with pytest.raises(SurgeonError, match="does not hold one value per image"):
        read("hugging_face", tmp_path / "lists")


def test_splits_by_the_names_of_files_and_groups_by_a_column(saved: Path, tmp_path: Path) -> None:
    import datasets

    root = tmp_path / "dev" / "[v2] set"  # a folder above the set says nothing, and is not a pattern
    root.mkdir(parents=True)
    text = datasets.Value("string")
    kinds = datasets.Features({"image": datasets.Image(decode=False), "label": text, "who": text})
    for split in ("train", "test"):
        content = [{"bytes": f"{split}{row}".encode(), "path": None} for row in range(3)]
        columns = {"image": content, "label": ["a", "b", "a"], "who": [f"{split} {row}" for row in range(3)]}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(str(root / f"{split}-0.parquet"))
    listing = read("hugging_face", root)
    assert Counter(image.split for image in listing.images) == {"train": 3, "test": 3}
    column = SOURCES["hugging_face"].column
    assert column is not None
    cells = column({"path": str(root)}, "who")
    assert [image.read().decode() for image in listing.images] == [cell.replace(" ", "") for cell in cells]
    shutil.copy(root / "test-0.parquet", root / "more-0.parquet")
    with pytest.raises(SurgeonError, match=r"say no split, next to others: more-0\.parquet"):
        read("hugging_face", root)


@pytest.mark.usefixtures("without_pictures")
def test_a_run_from_parquet_files(surgeon: Surgeon, saved: Path, photos: Path, tmp_path: Path) -> None:
    made = surgeon("init", _parquet(saved), "--out", tmp_path / "drafted.yaml")
    assert made.code == 0, made.err
    assert "hugging_face:" in (tmp_path / "drafted.yaml").read_text(encoding="utf-8")
    recipe = write_tiny(tmp_path / "tiny.yaml", photos)
    source = f"data.source={{hugging_face: '{_parquet(saved)}'}}"
    done = surgeon("run", recipe, "--out", tmp_path / "run", "--quiet", "--set", source)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["images"] == {"train": 9, "validation": 3, "test": 12}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"label_column": "kinds"}, "no column 'kinds'"),
        ({"image_column": "kind"}, "does not hold images"),
        ({"path": "nowhere"}, "there is no"),
        ({"path": "broken.parquet"}, "cannot read"),
    ],
)
def test_what_cannot_be_read_is_said(parameters: dict[str, str], said: str, saved: Path) -> None:
    (saved / "odd").mkdir(exist_ok=True)
    (saved / "odd" / "broken.parquet").write_bytes(b"PAR1 no")
    place = {"nowhere": saved / "nowhere", "broken.parquet": saved / "odd" / "broken.parquet"}
    path = place.get(parameters.get("path", ""), saved / "disk")
    with pytest.raises(SurgeonError, match=said):
        read("hugging_face", path, **{key: name for key, name in parameters.items() if key != "path"})
