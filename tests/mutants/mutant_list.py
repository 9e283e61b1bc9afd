"""Mutants of what docs/security.md promises: plain patches, each with the test that must fail."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One promise taken away.

    Attributes:
      name: what is no longer done.
      file: path of the file from the root of the project.
      old, new: text that is in the file once, and what takes its place.
      test: id of the test that notices.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


def _store(name: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(name, f"hub_tfx/store/{file}", old, new, f"tests/store/{test}")


_ODD = "tests/test_odd_files.py::"
_LINEAR = "tests/test_linear.py::"
_REPORT = "tests/embed/report/test_report.py::"
_SURVEY = "tests/embed/report/test_survey.py::"
_IMAGES = "tests/data/test_images.py::"
_TERMINAL = "tests/cli/test_terminal.py::"
_COMMIT = "tests/embed/output/test_commit.py::"
_PUBLISHER = "tests/components/test_module_publisher.py::"
_PUBLISH = "tests/repository/test_publish.py::"

MUTANTS = (
    # Archives and the cache.
    _store(
        "member names are not checked for dots",
        "member_names.py",
        'if b".." in encoded:',
        "if False:",
        "test_archive.py::test_hostile_members_are_refused_by_name_and_rule",
    ),
    _store(
        "an archive may be nested without end",
        "member_names.py",
        "if len(parts) > self._max_depth:",
        "if False:",
        "test_archive.py::test_hostile_members_are_refused_by_name_and_rule",
    ),
    _store(
        "bombs are not stopped",
        "tar_reader.py",
        "if unpacked_bytes > max(",
        "if 0 > max(",
        "test_archive.py::test_limits_stop_the_unpacking",
    ),
    _store(
        "what is unpacked may go through a planted name",
        "archive.py",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW",
        "os.O_WRONLY | os.O_CREAT",
        "test_archive.py::test_a_name_that_somebody_plants_meanwhile_is_not_written_through",
    ),
    _store(
        "what is unpacked may be opened through a link",
        "archive.py",
        "os.O_EXCL | os.O_NOFOLLOW",
        "os.O_EXCL",
        "test_archive.py::test_what_is_opened_to_unpack_is_new_and_no_link",
    ),
    _store(
        "the copy of a directory follows links to files",
        "fetch/local.py",
        "follow_link=False",
        "follow_link=True",
        "test_fetch.py::test_the_copy_of_a_directory_follows_no_link",
    ),
    _store(
        "an entry is not synced before it has its name",
        "entry.py",
        "    sync_tree(directory)\n",
        "",
        "test_cache.py::test_an_entry_is_on_the_disk_before_it_has_its_name",
    ),
    _store(
        "a new cache may be read by all",
        "folder.py",
        "self.root.mkdir(mode=0o700,",
        "self.root.mkdir(mode=0o777,",
        "test_cache.py::test_a_new_cache_is_private",
    ),
    _store(
        "the cache in a shared directory may be written by all",
        "folder.py",
        "self._make(self.base, 0o700)",
        "self._make(self.base, 0o777)",
        "test_cache.py::test_a_cache_inside_a_directory_that_others_may_write_is_private_too",
    ),
    _store(
        "nobody holds the lock",
        "folder.py",
        "            lock.acquire()\n",
        "            pass\n",
        "test_cache.py::test_the_lock_saves_the_second_download",
    ),
    _store(
        "temporary folders stay",
        "folder.py",
        "            shutil.rmtree(work, ignore_errors=True)",
        "            pass",
        "test_cache.py::test_a_failed_fetch_leaves_nothing",
    ),
    _store(
        "a body may trickle for ever",
        "fetch/web.py",
        "if self.deadline.is_over:  # What",
        "if False:  # What",
        "test_deadlines.py::test_a_server_that_spins_it_out_is_given_up",
    ),
    _store(
        "a pin is not compared",
        "cache.py",
        "            if digest != pinned:\n",
        "            if False:\n",
        "test_cache.py::test_a_pin_that_does_not_match_keeps_nothing",
    ),
    _store(
        "credentials go to every host",
        "fetch/access.py",
        "if (handle.scheme, handle.authority) != origin(url):",
        "if False:",
        "test_http.py::test_credentials_go_to_their_own_host_only",
    ),
    _store(
        "refusals of archives say nothing of what to do",
        "archive.py",
        "{error}; {fix}",
        "{error}",
        "test_refusals.py::test_archives",
    ),
    _store(
        "a redirect to http is an error without advice",
        "fetch/web.py",
        "refused: redirected from https to {target}: {_ASK}",
        "refused: redirected from https to {target}",
        "test_refusals.py::test_no_refusal_is_written_without_what_to_do",
    ),
    _store(
        "a pin believes what files look like",
        "entry.py",
        '({}, "") if full else _recorded(directory)',
        "_recorded(directory)",
        "test_hits.py::test_whoever_promises_a_digest_gets_its_bytes_whatever_the_files_look_like",
    ),
    _store(
        "a hit does not look at the time of the last change",
        "entry.py",
        "if stamps[entry.path] == recorded.get(entry.path):",
        "if recorded.get(entry.path):",
        "test_hits.py::test_other_bytes_of_the_same_size_and_time_are_set_aside_and_fetched_again",
    ),
    _store(
        "a cache of somebody else is used",
        "owner.py",
        "if status.st_uid not in self.users and not self._is_by_group(status):",
        "if False:",
        "test_owner.py::test_what_others_may_change_is_refused_by_name",
    ),
    _store(
        "a cache that everybody may write is used",
        "owner.py",
        "if mode & stat.S_IWOTH:",
        "if False:",
        "test_owner.py::test_what_others_may_change_is_refused_by_name",
    ),
    _store(
        "what is in use is pruned",
        "prune.py",
        "        if kept:\n            return replace(item, kept=kept)\n",
        "",
        "test_prune.py::test_what_this_process_resolved_stays_until_it_lets_go",
    ),
    _store(
        "a damaged entry is away while it is mended",
        "entries.py",
        "if damage and exchange(entry.directory, target):",
        "if False:",
        "test_hits.py::test_a_damaged_entry_is_swapped_and_never_away",
    ),
    _store(
        "directories that members imply are not counted",
        "member_names.py",
        "if len(self._spellings) > self._max_made:",
        "if False:",
        "test_archive.py::test_directories_that_members_imply_are_counted",
    ),
    _store(
        "offline asks all the same",
        "cache.py",
        "if not self._offline or handle.is_local:",
        "if True:",
        "test_offline.py::test_no_socket_is_opened",
    ),
    _store(
        "a directory that is swapped for a link is followed",
        "fetch/local.py",
        "| os.O_NOFOLLOW, dir_fd",
        "| 0, dir_fd",
        "test_fetch.py::test_a_directory_that_is_swapped_for_a_link_during_the_copy_is_not_followed",
    ),
    _store(
        "redirects may lead into a private network",
        "fetch/dialing.py",
        "self.guard.connected(str(address[0]))",
        "pass",
        "test_hosts.py::test_a_redirect_from_a_public_host_to_this_machine_is_refused_before_a_byte_is_sent",
    ),
    _store(
        "the addresses of metadata servers are not known",
        "fetch/hosts.py",
        "never = ip.is_link_local or",
        "never =",
        "test_hosts.py::test_addresses_of_metadata_servers_are_refused_in_every_spelling",
    ),
    _store(
        "URLs are logged with their queries",
        "fetch/exact_url.py",
        'return str(super().request_url(request, proxies)).partition("?")[0]',
        "return str(super().request_url(request, proxies))",
        "test_resumed.py::test_no_log_of_any_library_has_the_secrets_of_a_url",
    ),
    _store(
        "headers that cannot be read are logged",
        "fetch/exact_url.py",
        'self.msg.set_payload("")',
        "pass",
        "test_resumed.py::test_no_log_of_any_library_has_the_secrets_of_a_url",
    ),
    _store(
        "a range is taken wherever it begins",
        "fetch/part.py",
        "if answered is None or int(answered[1]) != self.size_bytes:",
        "if answered is None:",
        "test_resumed.py::test_another_range_or_file_than_was_asked_for_is_refused",
    ),
    _store(
        "a signed URL gets a parameter",
        "fetch/http.py",
        'return (exact, f"{exact}&tf-hub-format=compressed")',
        'return (f"{exact}&tf-hub-format=compressed",)',
        "test_http.py::test_a_url_that_may_be_signed_is_sent_byte_for_byte_whatever_its_ending",
    ),
    _store(
        "names of objects may have empty parts",
        "fetch/buckets.py",
        'if {"", "."} & set(path.split("/")):',
        "if False:",
        "test_bucket_handles.py::test_names_that_lead_elsewhere_are_refused_before_anything_is_copied",
    ),
    _store(
        "files of a commit are not hashed",
        "fetch/hugging_face.py",
        "return hashed.hexdigest() == (file.sha256 or file.git_sha1)",
        "return True",
        "test_hugging_face.py::test_a_file_with_other_bytes_than_the_commit_names_is_refused",
    ),
    _store(
        "tokens are sent without TLS",
        "fetch/access.py",
        'if parts.scheme != "https" and not is_loopback(parts.hostname or ""):',
        "if False:",
        "test_access.py::test_a_token_is_not_sent_without_tls",
    ),
    # Embedding.
    Mutant(
        "a second run may write to the same folder",
        "hub_tfx/_lock.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "",
        "tests/test_lock.py::test_another_process_is_kept_out_until_the_first_is_gone_however_it_ends",
    ),
    Mutant(
        "the guard of Parquet files is left to Beam",
        "hub_tfx/data/readers/parquet.py",
        "    import pyarrow_hotfix  # noqa: F401",
        "    # import pyarrow_hotfix",
        "tests/embed/test_faults.py::"
        "test_the_guard_against_such_files_is_ours_and_not_only_that_of_beam",
    ),
    # Object names of buckets, records, images, text.
    Mutant(
        "names of objects lead out of the copy",
        "hub_tfx/data/filesystems.py",
        "if not is_inside(relative) or odd_name(relative) is not None:",
        "if False:",
        "tests/data/test_filesystems.py::"
        "test_object_names_that_lead_out_of_the_copy_are_refused_before_anything_is_copied",
    ),
    Mutant(
        "a record may claim any length",
        "hub_tfx/data/readers/tfrecord.py",
        "if length > _MAX_RECORD_BYTES:",
        "if False:",
        "tests/data/test_tfrecord_kinds.py::"
        "test_a_length_beyond_any_record_is_an_error_and_makes_no_room",
    ),
    Mutant(
        "an image without a size is decoded",
        "hub_tfx/data/images.py",
        "if size is None and encoded.startswith((_PNG, _GIF, _BMP, _JPEG)):",
        "if False:",
        f"{_IMAGES}test_a_size_cannot_be_hidden",
    ),
    Mutant(
        "a PNG may hide its header",
        "hub_tfx/data/images.py",
        'if encoded[12:16] != b"IHDR":',
        "if False:",
        f"{_IMAGES}test_a_size_cannot_be_hidden",
    ),
    Mutant(
        "all frames of a GIF are decoded",
        "hub_tfx/data/images.py",
        "if encoded.startswith(_GIF) and _is_large_animation(encoded):",
        "if False:",
        f"{_IMAGES}test_frames_that_are_larger_than_their_screen_are_not_decoded",
    ),
    Mutant(
        "stray quotes are read over and over",
        "hub_tfx/data/readers/delimited.py",
        "return self._chars_left < 0",
        "return False",
        f"{_LINEAR}test_readers_take_linear_time[quotes that open a field in every line]",
    ),
    Mutant(
        "a pattern takes quadratic time",
        "hub_tfx/module/vectors.py",
        r"(\d+(\.\d*)?|\.\d+)",
        r"(\d+\.?\d*|\.\d+)",
        f"{_LINEAR}test_patterns_take_linear_time[hub_tfx.module.vectors-_NUMBER]",
    ),
    Mutant(
        "an error quotes all of a text",
        "hub_tfx/data/isolate.py",
        "return shortened(text, _MAX_REASON_CHARS).encode",
        "return text.encode",
        f"{_LINEAR}test_an_error_that_quotes_a_row_is_cut_in_linear_time",
    ),
    # Odd files and names.
    Mutant(
        "a FIFO is opened to wait",
        "hub_tfx/_files.py",
        "os.O_RDONLY | os.O_NONBLOCK |",
        "os.O_RDONLY |",
        f"{_ODD}test_only_regular_files_are_opened[a FIFO]",
    ),
    Mutant(
        "a device is read",
        "hub_tfx/_files.py",
        "if not stat.S_ISREG(mode):",
        "if False:",
        f"{_ODD}test_only_regular_files_are_opened[a device]",
    ),
    Mutant(
        "the graph of a module is opened in another way",
        "hub_tfx/module/proto.py",
        "parse_whole(saved_model, read_regular(binary))",
        "parse_whole(saved_model, binary.read_bytes())",
        f"{_ODD}test_files_of_others_are_opened_in_one_way",
    ),
    Mutant(
        "a command takes a name that is not UTF-8",
        "hub_tfx/cli/main.py",
        "            _check_utf8(arguments)\n",
        "",
        f"{_ODD}test_every_command_says_so_in_one_line",
    ),
    Mutant(
        "a file of a module may have a name that is not UTF-8",
        "hub_tfx/module/manifest.py",
        "if (shown := odd_name(path)) is not None:",
        "if (shown := None) is not None:",
        f"{_ODD}test_a_name_that_is_not_utf_8_is_refused_by_name[file of a module]",
    ),
    # Other formats.
    Mutant(
        "the page of a report takes text for HTML",
        "hub_tfx/embed/report/html.py",
        "autoescape=True",
        "autoescape=False",
        f"{_REPORT}test_a_page_needs_nothing_else_and_trusts_no_text",
    ),
    Mutant(
        "files of the projector have the names of outputs",
        "hub_tfx/embed/report/report.py",
        '_NOT_IN_FILE_NAMES.sub("_", column)[:_FILE_NAME_LENGTH]',
        "column",
        f"{_REPORT}test_names_that_a_module_made_up_stay_names_in_the_config_of_the_projector",
    ),
    Mutant(
        "names of columns break the lines of a TSV",
        "hub_tfx/embed/report/report.py",
        '"\\t".join(map(_in_words, columns))',
        '"\\t".join(columns)',
        f"{_REPORT}test_names_that_a_module_made_up_stay_names_in_the_config_of_the_projector",
    ),
    Mutant(
        "the sample of a report is as large as its vectors",
        "hub_tfx/embed/report/survey.py",
        "most = max(1, _SAMPLE_NUMBERS // dimensions)",
        "most = SAMPLE_ROWS",
        f"{_SURVEY}test_the_report_on_feature_maps_takes_little_memory",
    ),
    Mutant(
        "messages steer the terminal",
        "hub_tfx/cli/output.py",
        'click.echo(f"hub-tfx: {printable(line)}", err=True)',
        'click.echo(f"hub-tfx: {line}", err=True)',
        f"{_TERMINAL}test_nothing_that_is_printed_steers_a_terminal",
    ),
    Mutant(
        "a message has no end",
        "hub_tfx/cli/output.py",
        'shortened(" ".join(message.split()), _MAX_MESSAGE_CHARS)',
        '" ".join(message.split())',
        f"{_TERMINAL}test_a_message_is_one_line_that_ends",
    ),
    # Faults in the middle: commits, two runs, processes that leave.
    Mutant(
        "a commit that is tried again does not know what it moved",
        "hub_tfx/embed/output/commit.py",
        "if (is_taken or not is_written) and move.is_done():",
        "if False:",
        f"{_COMMIT}test_a_commit_that_is_tried_again_after_its_end_changes_nothing",
    ),
    Mutant(
        "the earlier output is removed before the new one stands",
        "hub_tfx/embed/output/commit.py",
        "        replace_file(layout.manifest, content)\n",
        "        for kind in layout.folders:\n"
        "            _remove_others(layout, kind, layout.parts_named(manifest, kind))\n"
        "        replace_file(layout.manifest, content)\n",
        f"{_COMMIT}test_whichever_request_fails_one_output_is_whole_and_another_try_is_right[fails]",
    ),
    Mutant(
        "a part is taken for moved by its name",
        "hub_tfx/embed/output/commit.py",
        "return FileSystems.exists(self.target) and sha256_of(self.target) == self.sha256",
        "return FileSystems.exists(self.target)",
        f"{_COMMIT}test_a_damaged_file_under_the_name_of_a_part_is_replaced",
    ),
    Mutant(
        "a run commits without a look at its lease",
        "hub_tfx/embed/output/commit.py",
        "            self.planned.lease.check()\n",
        "            pass\n",
        f"{_COMMIT}test_a_run_that_was_taken_over_does_not_commit",
    ),
    Mutant(
        "the sign of life of another run is not seen",
        "hub_tfx/embed/output/lease.py",
        "        if now != before:\n",
        "        if False:\n",
        f"{_COMMIT}test_a_second_run_is_refused_and_leaves_the_first_one_alone",
    ),
    Mutant(
        "what hub_tfx did not write is replaced",
        "hub_tfx/embed/output/directory.py",
        "if not _is_ours(output, parts, described):",
        "if False:",
        f"{_COMMIT}test_what_hub_tfx_did_not_write_is_refused_and_stays",
    ),
    Mutant(
        "the list of a folder may name what is not in it",
        "hub_tfx/embed/output/described.py",
        'return isinstance(name, str) and "/" not in name and is_inside(name)',
        "return isinstance(name, str)",
        f"{_COMMIT}test_the_list_of_a_folder_names_files_of_that_folder_only",
    ),
    Mutant(
        "status 0 is success, however a process left",
        "hub_tfx/cli/guard.py",
        "    if code == 0 and not has_returned:\n",
        "    if False:\n",
        "tests/cli/test_guard.py::"
        "test_a_process_that_leaves_with_status_0_before_it_is_done_has_failed",
    ),
    Mutant(
        "a run of a pipeline is complete when its runner returns",
        "pipelines/run_local.py",
        "    metadata.check_complete(executions, len(pipeline.components))\n",
        "",
        "tests/pipelines/test_run_local.py::"
        "test_what_ml_metadata_says_decides_and_not_that_the_runner_returned",
    ),
    # Training and lineage.
    Mutant(
        "a training that was cut off resumes with other rows",
        "hub_tfx/finetune/identity.py",
        "        if key not in found or found[key] != value:\n",
        "        if False:\n",
        "tests/finetune/test_finetune_job.py::"
        "test_a_run_that_was_cut_off_does_not_go_on_with_other_rows",
    ),
    Mutant(
        "a module that changed after it was resolved is trained from",
        "hub_tfx/finetune/job.py",
        "    base.verify()\n",
        "",
        "tests/finetune/test_finetune_job.py::"
        "test_a_module_that_changed_after_it_was_resolved_is_not_trained_from",
    ),
    Mutant(
        "a frozen module is an ancestor of what has its bytes",
        "hub_tfx/lineage/graph.py",
        ' and _stamp(m, "parent_digest") != digest]',
        "]",
        "tests/lineage/test_lineage.py::"
        "test_nothing_made_with_a_base_inherits_a_training_that_left_it_as_it_was",
    ),
    Mutant(
        "a frozen module is linked as its own parent",
        "hub_tfx/lineage/graph.py",
        "[m for m in found if m.id < artifact.id and _stamp",
        "[m for m in found if _stamp",
        "tests/lineage/test_lineage.py::test_a_lineage_with_frozen_modules_has_no_circle",
    ),
    Mutant(
        "nobody says that a module is frozen",
        "hub_tfx/components/module_trainer/executor.py",
        '{"frozen": 1} if Manifest.of_directory(tuned).digest == base.digest else {}',
        "{}",
        "tests/components/test_module_trainer.py::"
        "test_a_module_whose_bytes_are_its_parents_is_frozen",
    ),
    # Judged and published.
    Mutant(
        "a module that may be worse is blessed",
        "hub_tfx/evaluate/verdict.py",
        "if low > -config.margin:",
        "if high > -config.margin:",
        "tests/evaluate/test_verdict.py::test_equal_and_worse_are_not",
    ),
    Mutant(
        "what is not blessed is published",
        "hub_tfx/components/module_publisher/executor.py",
        "return bool(blessed == said.BLESSED_VALUE)",
        "return True",
        f"{_PUBLISHER}test_what_is_not_blessed_is_not_published",
    ),
    Mutant(
        "a blessing of another module counts",
        "hub_tfx/components/module_publisher/executor.py",
        "if about != module.uri:",
        "if False:",
        f"{_PUBLISHER}test_a_blessing_about_another_module_is_refused",
    ),
    Mutant(
        "an evaluation of another module is published",
        "hub_tfx/components/module_publisher/executor.py",
        "if judged and judged.digest != module.digest:",
        "if False:",
        f"{_PUBLISHER}test_an_evaluation_of_another_module_is_refused",
    ),
    Mutant(
        "a number may get other bytes",
        "hub_tfx/repository/publish.py",
        "if there is not None and there.digest != manifest.digest:",
        "if False:",
        f"{_PUBLISH}test_other_bytes_under_a_number_name_the_next_free_one",
    ),
    # The server.
    Mutant(
        "any token will do",
        "hub_tfx/web/guard.py",
        "            if name is None:",
        "            if False:",
        "tests/web/test_web_access.py::test_everything_else_is_refused",
    ),
    Mutant(
        "values of a query are logged",
        "hub_tfx/web/access_log.py",
        "urlencode([p]) if p[0] in _SHOWN else",
        "urlencode([p]) if True else",
        "tests/web/test_web_access.py::test_values_that_may_be_secrets_are_not_logged",
    ),
    Mutant(
        "any host is believed",
        "hub_tfx/web/guard.py",
        "if len(hosts) > 1 or any(",
        "if False and any(",
        "tests/web/test_web_access.py::test_what_is_too_much",
    ),
    Mutant(
        "a body has no end",
        "hub_tfx/web/publishing.py",
        "if size_bytes > limit:",
        "if False:",
        "tests/web/test_http_publishing.py::test_a_body_that_is_too_large",
    ),
    Mutant(
        "connections may wait without end",
        "hub_tfx/web/server.py",
        "self.transport.abort()",
        "pass",
        "tests/web/test_web_access.py::test_headers_that_never_end_are_cut_off",
    ),
    Mutant(
        "a yanked version is sent",
        "hub_tfx/web/lookup.py",
        "if (yank := yank_of(site.storage, name, number)) is not None:",
        "if (yank := None) is not None:",
        "tests/web/test_protocol.py::test_what_is_not_there_is_told_in_a_line",
    ),
    Mutant(
        "a server is not held to its promises",
        "hub_tfx/store/fetch/promises.py",
        "if promised is not None and",
        "if False and",
        "tests/store/test_http.py::test_a_server_is_held_to_the_digest_that_it_promises",
    ),
    _store(
        "a lock file gives way to another digest",
        "lock_file.py",
        "if digest not in (None, locked.digest):",
        "if False:",
        "test_lock_file.py::test_a_handle_that_is_not_named_is_refused",
    ),
    _store(
        "a lock file may hold credentials",
        "lock_file.py",
        "if shown != text:",
        "if False:",
        "test_lock_file.py::test_what_is_not_a_lock_file_is_told_with_its_line",
    ),
    _store(
        "new bytes are taken where they are looked for",
        "cache.py",
        "if not follow:",
        "if False:",
        "test_cache.py::test_new_bytes_are_followed_or_refused_as_the_caller_says",
    ),
    Mutant(
        "what follows after the end of a SavedModel is not seen",
        "hub_tfx/module/proto.py",
        "if read != len(data):",
        "if False:",
        "tests/fuzz/test_fuzz.py::test_bytes_behind_the_end_of_a_saved_model_are_damage",
    ),
    Mutant(
        "no driver looks at what a handle stands for",
        "hub_tfx/components/module_resolver/component.py",
        "            self.driver_class = Driver",
        "            pass",
        "tests/components/test_changed_handles.py::"
        "test_a_directory_that_has_changed_is_resolved_again",
    ),
    # What a module may do.
    Mutant(
        "functions of a graph are not looked at",
        "hub_tfx/module/safety.py",
        "            self._body(name, function.node_def)\n",
        "",
        "tests/module/test_safety.py::test_every_way_in_is_found_with_its_op_and_node",
    ),
    Mutant(
        "an op that nobody has listed is allowed",
        "hub_tfx/module/safety.py",
        """            why = "it is on no list of allowed ops"
            self._add("op", Found(op, node, function, why))
""",
        "            return\n",
        "tests/module/test_op_list.py::test_every_op_of_the_registry_is_allowed_or_refused",
    ),
    Mutant(
        "a module is kept before it is refused",
        "hub_tfx/store/cache.py",
        """                self._check_digest(handle, entry.manifest.digest, pinned)
                self._admit(handle, entry)
""",
        "                self._check_digest(handle, entry.manifest.digest, pinned)\n",
        "tests/store/test_safety_of_cache.py"
        "::test_a_module_from_elsewhere_is_refused_and_nothing_of_it_is_kept",
    ),
    Mutant(
        "a hit does not obey the policy",
        "hub_tfx/store/cache.py",
        """        self._admit(handle, entry)
        return _resolved(handle, entry, cache_hit=True), damage
""",
        "        return _resolved(handle, entry, cache_hit=True), damage\n",
        "tests/store/test_safety_of_cache.py::test_a_hit_obeys_the_policy_of_who_asks",
    ),
    Mutant(
        "check runs what it found bad",
        "hub_tfx/module/check/checks.py",
        """    elif found["is_dangerous"]:""",
        "    elif False:",
        "tests/module/check/test_check.py::test_what_is_found_bad_is_not_run",
    ),
    Mutant(
        "the child that reads a graph has no limit of memory",
        "hub_tfx/module/limited.py",
        "        (resource.RLIMIT_AS, memory_bytes, memory_bytes),\n",
        "",
        "tests/module/test_examine.py"
        "::test_a_graph_of_empty_nodes_is_given_up_at_a_limit_of_memory",
    ),
)
