package io.kappalakehouse.flink.delta;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;

/** Connector {@code delta}; its options are called and mean what they do in Delta's own {@code delta-flink}. */
public final class DeltaTableSinkFactory implements DynamicTableSinkFactory {

  static final ConfigOption<String> TABLE_PATH =
      ConfigOptions.key("table_path")
          .stringType()
          .noDefaultValue()
          .withDescription("Where the table lies, for instance s3a://bucket/layer/table; made if nothing is there.");
  static final ConfigOption<String> PARTITIONS =
      ConfigOptions.key("partitions").stringType().defaultValue("").withDescription("Columns, separated by commas.");
  static final ConfigOption<String> UID =
      ConfigOptions.key("uid")
          .stringType()
          .noDefaultValue()
          .withDescription("Names the sink's state: a job that is changed finds it again by this.");
  static final ConfigOption<String> NAME =
      ConfigOptions.key("name").stringType().noDefaultValue().withDescription("Of the operator, in Flink's pages.");
  static final ConfigOption<Strategy> ROLLING =
      ConfigOptions.key("file_rolling.strategy")
          .enumType(Strategy.class)
          .defaultValue(Strategy.SIZE)
          .withDescription("When a file ends before its checkpoint does: at a 'size' or a 'count' of rows.");
  static final ConfigOption<Long> ROLLING_SIZE =
      ConfigOptions.key("file_rolling.size")
          .longType()
          .defaultValue(100L << 20)
          .withDescription("Bytes; negative: never.");
  static final ConfigOption<Integer> ROLLING_COUNT =
      ConfigOptions.key("file_rolling.count").intType().defaultValue(-1).withDescription("Rows; negative: never.");

  static final ConfigOption<String> SOURCE_BOOTSTRAP =
      ConfigOptions.key("source.bootstrap_servers")
          .stringType()
          .noDefaultValue()
          .withDescription("Of the Kafka whose topics the rows come from.");
  static final ConfigOption<Map<String, String>> SOURCE_TOPICS =
      ConfigOptions.key("source.topics")
          .mapType()
          .noDefaultValue()
          .withDescription(
              "The topics that rows come from, name:id, separated by commas: nothing is committed once one has another id,"
                  + " that is, was made anew.");
  static final ConfigOption<String> SOURCE_PREFIX =
      ConfigOptions.key("source.topic_prefix")
          .stringType()
          .defaultValue("")
          .withDescription("What Kafka's names of the topics have before those of 'source.topics'.");
  static final ConfigOption<String> SOURCE_READER =
      ConfigOptions.key("source.reader")
          .stringType()
          .noDefaultValue()
          .withDescription(
              "Names who reads the topics: commits then say which of its checkpoints they are of, and how far their rows"
                  + " go, by columns 'topic', 'partition' and 'offset'. For rows that come in the order of the topics.");

  /** What {@code file_rolling.strategy} may be. */
  public enum Strategy {
    SIZE,
    COUNT
  }

  @Override
  public String factoryIdentifier() {
    return "delta";
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of(TABLE_PATH);
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return Set.of(
        PARTITIONS,
        UID,
        NAME,
        ROLLING,
        ROLLING_SIZE,
        ROLLING_COUNT,
        SOURCE_BOOTSTRAP,
        SOURCE_TOPICS,
        SOURCE_PREFIX,
        SOURCE_READER,
        FactoryUtil.SINK_PARALLELISM);
  }

  @Override
  public DynamicTableSink createDynamicTableSink(Context context) {
    FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
    helper.validate();
    ReadableConfig options = helper.getOptions();
    ResolvedSchema schema = context.getCatalogTable().getResolvedSchema();
    List<String> computed = schema.getColumns().stream().filter(c -> !c.isPhysical()).map(Column::getName).toList();
    if (!computed.isEmpty()) {
      throw new ValidationException("a delta table stores all its columns; computed ones or metadata are " + computed);
    }
    List<String> partitions =
        Arrays.stream(options.get(PARTITIONS).split(",")).map(String::trim).filter(name -> !name.isEmpty()).toList();
    Columns columns = new Columns((RowType) schema.toPhysicalRowDataType().getLogicalType(), partitions);
    String path = options.get(TABLE_PATH);
    return new DeltaTableSink(
        new TargetTable(path, columns),
        rolling(options),
        source(options, columns),
        options.getOptional(UID),
        options.getOptional(NAME).orElse("delta " + context.getObjectIdentifier().getObjectName()),
        options.getOptional(FactoryUtil.SINK_PARALLELISM));
  }

  private static Optional<SourceTopics> source(ReadableConfig options, Columns columns) {
    Optional<String> bootstrap = options.getOptional(SOURCE_BOOTSTRAP);
    Optional<Map<String, String>> topics = options.getOptional(SOURCE_TOPICS);
    Optional<String> reader = options.getOptional(SOURCE_READER);
    if (bootstrap.isEmpty() && topics.isEmpty() && reader.isEmpty()) {
      return Optional.empty();
    }
    if (bootstrap.isEmpty() || topics.isEmpty()) {
      throw new ValidationException(
          "options 'source.bootstrap_servers' and 'source.topics' belong together, and 'source.reader' needs them");
    }
    SourceTopics source =
        new SourceTopics(bootstrap.get(), topics.get(), options.get(SOURCE_PREFIX), reader.orElse(null));
    if (reader.isPresent()) {
      new ReadPositions(columns, source);
    }
    return Optional.of(source);
  }

  private static Rolling rolling(ReadableConfig options) {
    boolean bySize = options.get(ROLLING) == Strategy.SIZE;
    long bytes = bySize ? options.get(ROLLING_SIZE) : -1;
    long rows = bySize ? -1 : options.get(ROLLING_COUNT);
    if (bytes == 0 || rows == 0) {
      throw new ValidationException("option 'file_rolling." + (bySize ? "size" : "count") + "' must not be 0");
    }
    return new Rolling(bytes < 0 ? Long.MAX_VALUE : bytes, rows < 0 ? Long.MAX_VALUE : rows);
  }
}
