package io.kappalakehouse.flink.delta;

import io.delta.kernel.Snapshot;
import io.delta.kernel.data.Row;
import io.delta.kernel.defaults.internal.json.JsonUtils;
import io.delta.kernel.internal.TableConfig;
import io.delta.kernel.internal.actions.AddFile;
import io.delta.kernel.internal.actions.SingleAction;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.fs.Path;

/**
 * The files of a commit, just before it is made. A commit may have been pending for long: it lies in a savepoint, and the
 * job is restored weeks later. Meanwhile vacuum removes what is in no version and older than the table keeps removed
 * files, by default 7 days. A table that names a file which is gone can't be read any more.
 *
 * <p>So each file is looked at, one request each. Between the look and the commit lie milliseconds, minutes where other
 * writers win all the time; a file that is younger than half of the time that files are kept is safe for days more. An
 * older one might be taken in these very moments. It is copied, and the commit names the copy, which is new. The copies of
 * a commit that fails after that are in no table, and vacuum removes them. A clock of ours that is days behind the store's
 * takes an old file for a young one: then those moments remain.
 */
final class PendingFiles {
  private static final int SHOWN = 5;

  private final TargetTable table;
  private final Commit commit;

  PendingFiles(TargetTable table, Commit commit) {
    this.table = table;
    this.commit = commit;
  }

  /**
   * The commit's actions, those of files that are there and stay until they are committed to {@code snapshot}.
   *
   * @throws FilesGoneException some are not there
   */
  List<Row> actions(Snapshot snapshot) throws IOException {
    long kept = TableConfig.TOMBSTONE_RETENTION.fromMetadata(snapshot.getMetadata());
    long old = System.currentTimeMillis() - kept / 2;
    Path root = new Path(table.path());
    FileSystem files = root.getFileSystem(table.hadoop());
    List<Row> actions = new ArrayList<>();
    List<String> gone = new ArrayList<>();
    long oldest = Long.MAX_VALUE;
    int named = 0;
    for (String action : commit.actions()) {
      Row row = JsonUtils.rowFromJson(action, SingleAction.FULL_SCHEMA);
      if (row.isNullAt(SingleAction.ADD_FILE_ORDINAL)) {
        actions.add(row);
        continue;
      }
      named++;
      AddFile add = new AddFile(row.getStruct(SingleAction.ADD_FILE_ORDINAL));
      Path file = new Path(root, new Path(URI.create(add.getPath())));
      try {
        if (add.getModificationTime() > old) {
          files.getFileStatus(file);
          actions.add(row);
        } else {
          String copy = DataFile.newName();
          FileUtil.copy(files, file, files, new Path(file.getParent(), copy), false, table.hadoop());
          actions.add(JsonUtils.rowFromJson(action.replace(file.getName(), copy), SingleAction.FULL_SCHEMA));
        }
      } catch (FileNotFoundException missing) {
        gone.add(add.getPath());
        oldest = Math.min(oldest, add.getModificationTime());
      }
    }
    if (!gone.isEmpty()) {
      throw new FilesGoneException(message(gone, named, oldest, kept));
    }
    return actions;
  }

  private String message(List<String> gone, int all, long oldest, long kept) {
    String named = String.join(", ", gone.subList(0, Math.min(SHOWN, gone.size())));
    return ("%d of %d files of checkpoint %d, written from %s on, are gone from %s: %s%s. What is in no version of a table"
            + " for %d h is removed by vacuum, and this commit was pending for longer. Nothing was committed: restore"
            + " an earlier checkpoint or savepoint of the job, which reads their rows again; or start it without state"
            + " on a table that is empty")
        .formatted(
            gone.size(),
            all,
            commit.checkpoint(),
            Instant.ofEpochMilli(oldest).truncatedTo(ChronoUnit.SECONDS),
            table.path(),
            named,
            gone.size() > SHOWN ? ", ..." : "",
            kept / 3_600_000);
  }

  /** Files that a commit names are not there. Repeating it is no use. */
  static final class FilesGoneException extends IOException {
    private static final long serialVersionUID = 1L;

    FilesGoneException(String message) {
      super(message);
    }
  }
}
