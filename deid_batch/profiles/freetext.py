"""Attributes of text VRs that hold no free text: codes, terms and names of products, as devices write them."""

from __future__ import annotations

from deid_batch import dictionary

_KEYWORDS = """
    CodeValue ExtendedCodeValue CodingSchemeDesignator CodingSchemeVersion LongCodeValue CodingSchemeRegistry
    CodingSchemeExternalID CodingSchemeName MappingResourceName RecognitionCode DataSetSubtype
    Manufacturer ManufacturerModelName ManufacturerRelatedModelGroup ManufacturerModelVersion SoftwareVersions
    SecondaryCaptureDeviceManufacturer SecondaryCaptureDeviceManufacturerModelName
    SecondaryCaptureDeviceSoftwareVersions HardcopyDeviceManufacturer HardcopyDeviceManufacturerModelName
    HardcopyDeviceSoftwareVersion DetectorManufacturerName DetectorManufacturerModelName ReceiveCoilManufacturerName
    TransmitCoilManufacturerName ApplicationName ApplicationVersion ApplicationManufacturer AlgorithmVersion
    AlgorithmName EXIFVersion PrivateCreatorReference DimensionIndexPrivateCreator FunctionalGroupPrivateCreator
    SelectorSequencePointerPrivateCreator SelectorAttributePrivateCreator AttributeOccurrencePrivateCreator
    DeidentificationMethod SequenceName PulseSequenceName ConvolutionKernel ReceiveCoilName TransmitCoilName
    ImagedNucleus Radionuclide RescaleType ModalityLUTType StackID FilterType CardiacFramingType PVCRejection
    AttenuationCorrectionMethod ReconstructionMethod ScatterCorrectionMethod DetectorLinesOfResponseUsed
    TypeOfFilters AcquisitionMode CollimatorGridName PlateType PhosphorType AcquisitionDeviceProcessingCode
    VideoImageFormatAcquired DigitalImageFormatAcquired FontName CSSFontName MIMETypeOfEncapsulatedDocument
    ListOfMIMETypes HL7InstanceIdentifier TransducerData DCTLabel CompressionRecognitionCode ImageGeometryType
"""
NO_FREE_TEXT = frozenset(
    tag for keyword in _KEYWORDS.split() if (tag := dictionary.tag_of_keyword(keyword)) is not None
)
"""What these say is chosen from terms, or built in by who made the device; Code Meaning is not among them."""
