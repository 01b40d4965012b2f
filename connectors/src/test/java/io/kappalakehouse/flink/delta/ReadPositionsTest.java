package io.kappalakehouse.flink.delta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.junit.jupiter.api.Test;

class ReadPositionsTest {
  private static final SourceTopics SOURCE =
      new SourceTopics("kafka:1", Map.of("shop.clicks", "Zm9v", "shop.purchases", "YmFy"), "tenant.", "ingest");

  @Test
  void theyAreTheHighestOffsetsAndOneMoreByTopicAndPartition() {
    ReadPositions read = new ReadPositions(columns("offset"), SOURCE);
    read.add(row("shop.clicks", 1, 7));
    read.add(row("shop.clicks", 1, 9));
    read.add(row("shop.clicks", 2, 3));
    read.add(row("shop.purchases", 1, 0));
    assertEquals(
        List.of(
            "{\"txn\":{\"appId\":\"read/shop.clicks@Zm9v/1\",\"version\":10}}",
            "{\"txn\":{\"appId\":\"read/shop.clicks@Zm9v/2\",\"version\":4}}",
            "{\"txn\":{\"appId\":\"read/shop.purchases@YmFy/1\",\"version\":1}}"),
        read.drain());
    assertEquals(List.of(), read.drain());
  }

  @Test
  void aTopicThatTheSinkDoesNotKnowIsNamed() {
    ReadPositions read = new ReadPositions(columns("offset"), SOURCE);
    read.add(row("shop.products", 0, 0));
    var refused = assertThrows(IllegalArgumentException.class, read::drain);
    assertTrue(refused.getMessage().startsWith("a row of topic shop.products;"), refused.getMessage());
  }

  @Test
  void rowsThatDoNotSayWhereTheyComeFromAreRefused() {
    var refused = assertThrows(ValidationException.class, () -> new ReadPositions(columns("at"), SOURCE));
    assertTrue(refused.getMessage().contains("needs a column offset of type BIGINT"), refused.getMessage());
  }

  private static GenericRowData row(String topic, int partition, long offset) {
    return GenericRowData.of(StringData.fromString(topic), partition, offset);
  }

  private static Columns columns(String offset) {
    LogicalType[] types = {new VarCharType(VarCharType.MAX_LENGTH), new IntType(), new BigIntType()};
    return new Columns(RowType.of(types, new String[] {"topic", "partition", offset}), List.of());
  }
}
