package io.kappalakehouse.flink.delta;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalTypeRoot;

/** How far the rows that a subtask writes go in the topics that they come from: the highest offset and one more. */
final class ReadPositions {
  private final SourceTopics source;
  private final int topic;
  private final int partition;
  private final int offset;
  private final Map<Place, Long> ends = new HashMap<>();

  private record Place(String topic, int partition) {}

  /** @throws ValidationException the columns do not say where a row comes from */
  ReadPositions(Columns columns, SourceTopics source) {
    this.source = source;
    topic = columns.index("topic", LogicalTypeRoot.VARCHAR);
    partition = columns.index("partition", LogicalTypeRoot.INTEGER);
    offset = columns.index("offset", LogicalTypeRoot.BIGINT);
  }

  void add(RowData row) {
    Place place = new Place(row.getString(topic).toString(), row.getInt(partition));
    ends.merge(place, row.getLong(offset) + 1, Math::max);
  }

  /** As actions, JSON; they are forgotten here. */
  List<String> drain() {
    Positions positions = new Positions();
    ends.forEach((place, end) -> positions.reach(source.position(place.topic, place.partition), end));
    ends.clear();
    return positions.drain();
  }
}
